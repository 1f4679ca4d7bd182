//! Lists, maps and structs, value by value.

use serde::ser::{self, Serialize};

use super::{Container, WriteError, Writer, text};

/// A list or map that is being written.
pub(super) struct Writing<'w, 'o> {
    pub(super) writer: &'w mut Writer<'o>,
    pub(super) container: Container,
    pub(super) start: usize,
    pub(super) announced: usize,
    pub(super) count: usize,
}

impl Writing<'_, '_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        self.count += 1;
        value.serialize(&mut *self.writer)
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), WriteError> {
        let before = self.writer.out.len();
        text(self.writer.out, key)?;
        let with_key = self.writer.out.len();
        value.serialize(&mut *self.writer)?;
        if self.writer.out.len() == with_key {
            self.writer.out.truncate(before);
        } else {
            self.count += 1;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), WriteError> {
        let (out, written) = (&mut *self.writer.out, self.announced);
        self.container
            .set_head(out, self.start, written, self.count)
    }
}

macro_rules! lists {
    ($($trait:ident $method:ident),+) => {
        $(impl ser::$trait for Writing<'_, '_> {
            type Ok = ();
            type Error = WriteError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
                self.item(value)
            }

            fn end(self) -> Result<(), WriteError> {
                self.finish()
            }
        })+
    };
}

lists! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
}

macro_rules! structs {
    ($($trait:ident),+) => {
        $(impl ser::$trait for Writing<'_, '_> {
            type Ok = ();
            type Error = WriteError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), WriteError> {
                self.field(key, value)
            }

            fn end(self) -> Result<(), WriteError> {
                self.finish()
            }
        })+
    };
}

structs! { SerializeStruct, SerializeStructVariant }

impl ser::SerializeMap for Writing<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), WriteError> {
        self.item(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), WriteError> {
        self.finish()
    }
}
