//! Fuzz targets for everything that is decoded: frames, requests, cursors, rows of the log.
//!
//! One program with all targets, of which `FUZZ_TARGET` chooses one: linking it a dozen times
//! would take longer than CI fuzzes. The decoders are compiled as a part of this crate, so that
//! their code is instrumented and the node's other dependencies are not needed; `protocol` knows
//! no other layer, which makes that possible.

#![no_main]

/// Where these modules stand in Hubbub.
#[path = "../../src"]
#[allow(
    dead_code,
    unused_imports,
    reason = "encoders and more, which Hubbub uses"
)]
mod hubbub {
    pub mod protocol;
    /// The parts of these layers that decode.
    pub mod bus {
        pub mod envelope;
    }
    pub mod auth {
        pub mod client_address;
    }
}
// They name each other by these paths.
use hubbub::{auth, bus, protocol};

mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

use crate::targets::{TARGETS, Target};

static CHOSEN: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let Some((_, target)) = found else {
        let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("FUZZ_TARGET is one of: {}", names.join(" "));
        std::process::exit(2);
    };
    *target
}

fuzz_target!(|data: &[u8]| CHOSEN.get_or_init(chosen)(data));
