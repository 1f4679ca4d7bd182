//! Panics in each kind of actor, and events lost on the way, while people talk: nobody loses or
//! doubles a message, whoever need not be disconnected is not, and restarts are limited. Threads
//! that are blocked are noticed.

mod crowd;
mod fanout;
mod hub;
mod lost;
mod presence;
mod rooms;
mod stalls;
mod writer;
