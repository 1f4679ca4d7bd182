//! Somebody who is up to no good, with an account of their own: what they try, and that they get
//! nothing by it.

mod limits;
mod pages;
mod rooms;
mod sockets;
mod values;
