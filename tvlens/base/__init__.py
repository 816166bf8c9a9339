"""What every room stands on: errors, files, configuration, devices, progress."""
