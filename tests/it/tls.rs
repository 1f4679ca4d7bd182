//! TLS on the node's port.

mod files;
mod paths;
mod strangers;
mod talk;
