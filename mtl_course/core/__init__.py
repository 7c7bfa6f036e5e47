"""What every other room builds on: errors, files, seeds, the device."""
