//! Nodes behind nginx, which runs the repository's `nginx.conf`, in a cluster by `hubbub dev`.

mod dev;
mod paths;
mod people;
mod rolling;
mod tls;
