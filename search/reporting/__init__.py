"""Reports of a run. Reads its records only: running, killed or finished."""
