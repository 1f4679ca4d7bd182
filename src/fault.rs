//! Places where a test can break the node from within. Without the feature `failpoints`, which is
//! for tests only, nothing of this is in the binary.
//!
//! A point has a name, `layer.part.what`. A test gives it actions by `PUT /_fault/{name}`, in the
//! language of the crate `fail`: `panic`, `1*panic`, `5%return`, `off`.

/// Marks a place. With an expression, the action `return` leaves the function with its value.
macro_rules! point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!($name);
    };
    ($name:literal, $value:expr) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!($name, |_| $value);
    };
}

/// Marks a place at which the action `return` ends the process at once, as SIGKILL does.
macro_rules! death {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        if fail::eval($name, |_| ()).is_some() {
            std::process::abort();
        }
    };
}

/// Whether the action `return` is asked for at a place.
macro_rules! asked {
    ($name:literal) => {{
        #[cfg(feature = "failpoints")]
        let asked = fail::eval($name, |_| ()).is_some();
        #[cfg(not(feature = "failpoints"))]
        let asked = false;
        asked
    }};
}

pub(crate) use {asked, death, point};
