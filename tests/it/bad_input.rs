//! What should not come, and comes: a clear error with a stable code, and everybody else
//! undisturbed.

mod rest;
mod scene;
mod text;
mod websocket;
