//! Resuming from far behind: bounded, paced, and beside everything else.
