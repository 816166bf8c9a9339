# make demo: install and draw the first figure.  make test: the suite, but for what `make test-slow` runs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# TransformerLens 3.9, whose HookedTransformer is a contestant of `make bench`.
LEGACY ?= .venv-transformer-lens-3

.PHONY: demo test test-slow check docs pictures zoo zoo-linear bench bench-legacy clean

demo: $(VENV)/installed
	$(BIN)/tvlens locality-sweep

test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

test-slow: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m slow

check: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

# The site, in docs/_build/html. It makes the report of the gallery and the figures of the theory, and
# runs the tutorials: some minutes, and less when the code is what it was.
OTHER_MODELS = vocabulary bijections emergence linear-risk dropout-risk demonstration-weights \
               demonstration-value rank-sweep learned-structure risk-landscape \
               linear-theory task-vector-limits
docs: $(VENV)/installed-docs
	OMP_NUM_THREADS=1 $(BIN)/tvlens report --out docs/_build/report
	for question in $(OTHER_MODELS); do \
	    OMP_NUM_THREADS=1 $(BIN)/tvlens $$question -q --out docs/_build/report || exit 1; done
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W --keep-going -d docs/_build/doctrees docs docs/_build/html

# The pictures of README and docs, from models that ship. Needs Chrome or Chromium.
pictures: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python analyses/pictures.py

# Trains models like those that ship, two at a time (about 45 minutes on two cores).
ZOO = linear-vanilla linear-tvp linear-arrow-vanilla linear-arrow-tvp \
      sinusoid-vanilla sinusoid-tvp offset-vanilla offset-tvp \
      bijections-vanilla relations-vanilla relations-tvp
zoo: $(VENV)/installed
	printf '%s\n' $(ZOO) | OMP_NUM_THREADS=1 xargs -P 2 -I NAME \
	    $(BIN)/tvlens train --preset NAME-small --out runs/zoo/NAME --resume

# The same for the linear transformers that ship: each seed alone or in one batch, as it was.
zoo-linear: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python analyses/linear_zoo.py --out runs/zoo-linear

# Short versions, and docs/performance.md from them; for numbers to publish, leave --rounds away.
# `make bench-legacy` before it adds TransformerLens 3.9 to the contest.
BENCH = OMP_NUM_THREADS=1 $(BIN)/python analyses/benchmarks
bench: $(VENV)/installed-bench
	$(BENCH)/training_step.py --rounds 2
	$(BENCH)/tvp_loss.py --rounds 2
	$(BENCH)/locality_map.py
	$(BENCH)/imports.py --rounds 1 --warmup 0
	$(BENCH)/scaling.py --rounds 1
	$(BENCH)/profile_step.py --repeats 1
	$(BENCH)/linear_training.py --rounds 3
	$(BENCH)/performance_page.py

bench-legacy: $(LEGACY)/installed

# torch comes first: with it in place, nothing else pulls another build of it.
$(VENV)/torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q "$$(grep '^torch==' constraints.txt)"
	touch $@

$(VENV)/installed: $(VENV)/torch pyproject.toml
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	touch $@

$(VENV)/installed-bench: $(VENV)/installed
	$(BIN)/pip install -q -c constraints.txt -e '.[bench]'
	touch $@

$(LEGACY)/installed: constraints.txt
	$(PYTHON) -m venv $(LEGACY)
	$(LEGACY)/bin/pip install -q "$$(grep '^torch==' constraints.txt)"
	grep -v '^transformer-lens==' constraints.txt > $(LEGACY)/constraints.txt
	$(LEGACY)/bin/pip install -q -c $(LEGACY)/constraints.txt 'transformer-lens==3.9.0'
	touch $@

clean:
	rm -rf $(VENV) $(LEGACY) build dist figures docs/_build
