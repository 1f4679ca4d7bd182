//! Sequence numbers: `u64` in the code, `int8` in Postgres.

use super::StoreError;

/// A number for Postgres. Those beyond its range become its largest: as a bound they mean the
/// same, and no stored number comes near.
#[must_use]
pub fn to_db(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from Postgres.
pub fn from_db(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|error| StoreError::Corrupt {
        what: "sequence number",
        source: error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for number in [0, 1, u64::from(u32::MAX)] {
            assert_eq!(from_db(to_db(number)).ok(), Some(number));
        }
        assert_eq!(to_db(u64::MAX), i64::MAX);
        assert!(from_db(-1).is_err());
    }
}
