"""Figures as ratios to a named limit measured in the same run; one file a bench, `./tallygrid bench NAME`."""
