//! Statements: one file each under `sql/queries`, known by name in logs and metrics.

/// An SQL statement with the name of its file, such as `users/insert`.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    /// `<aggregate>/<statement>`, as the file is named under `sql/queries`.
    pub name: &'static str,
    /// The text.
    pub sql: &'static str,
}

/// The statement of a file under `sql/queries`.
macro_rules! statement {
    ($name:literal) => {
        $crate::store::statement::Statement {
            name: $name,
            sql: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/sql/queries/",
                $name,
                ".sql"
            )),
        }
    };
}
pub(crate) use statement;
