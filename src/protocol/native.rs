//! The native protocol (to be written).
