//! The `hubbub` binary; everything is in the library.

use std::process::ExitCode;

/// Chosen by measurement, see ARCHITECTURE.md.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hubbub::cli::run()
}
