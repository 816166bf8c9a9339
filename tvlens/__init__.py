"""tvlens: task vectors of in-context learning."""
