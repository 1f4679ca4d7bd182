//! What a walk through a room's members has made for them: in each format the batch that was made
//! last, as most of those who have a format lack the same. Pure.

use crate::hub::connection::outbox::Batch;
use crate::hub::encoded::WireFormat;

/// A place for each format.
#[derive(Debug, Default)]
pub(super) struct Batches([Option<Made>; WireFormat::COUNT]);

#[derive(Debug)]
struct Made {
    /// The number of its first entry.
    from: u64,
    batch: Batch,
}

impl Batches {
    /// The batch that begins with the entry of that number, made if it was not the last one.
    pub(super) fn get(
        &mut self,
        format: WireFormat,
        from: u64,
        make: impl FnOnce() -> Batch,
    ) -> &Batch {
        let last = &mut self.0[format.index()];
        last.take_if(|made| made.from != from);
        let batch = || Made {
            from,
            batch: make(),
        };
        &last.get_or_insert_with(batch).batch
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::protocol::native::Codec;

    const FORMATS: [WireFormat; 6] = [
        native(Codec::Json, false),
        native(Codec::Json, true),
        native(Codec::MessagePack, false),
        native(Codec::MessagePack, true),
        WireFormat::SseRoom,
        WireFormat::SseAll,
    ];

    const fn native(codec: Codec, is_deflated: bool) -> WireFormat {
        WireFormat::Native { codec, is_deflated }
    }

    #[test]
    fn members_of_all_formats_in_turn_have_one_batch_made_for_each() {
        let made = Cell::new(0);
        let make = || {
            made.set(made.get() + 1);
            Batch::default()
        };
        let mut batches = Batches::default();
        for _ in 0..10 {
            for format in FORMATS {
                batches.get(format, 7, make);
            }
        }
        assert_eq!(made.get(), FORMATS.len());
        batches.get(FORMATS[0], 8, make);
        batches.get(FORMATS[1], 7, make);
        assert_eq!(made.get(), FORMATS.len() + 1, "one lacks less");
    }
}
