//! Tables that read well as they are, and are Markdown.

use std::fmt::Write as _;

/// Rows of cells below a head. The first column is text, the others are figures.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<C: Into<String>>(head: impl IntoIterator<Item = C>) -> Self {
        Self {
            rows: vec![head.into_iter().map(Into::into).collect()],
        }
    }

    pub(crate) fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
                .max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (n, row) in self.rows.iter().enumerate() {
            let none = String::new();
            for (column, width) in widths.iter().enumerate() {
                let cell = row.get(column).unwrap_or(&none);
                // Writing to a string does not fail.
                let _ = match column {
                    0 => write!(text, "| {cell:width$} "),
                    _ => write!(text, "| {cell:>width$} "),
                };
            }
            text.push_str("|\n");
            if n == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let (line, end) = if column == 0 {
                        (width + 2, "")
                    } else {
                        (width + 1, ":")
                    };
                    let _ = write!(text, "|{}{end}", "-".repeat(line));
                }
                text.push_str("|\n");
            }
        }
        text
    }
}

/// A whole number with its thousands apart.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number <= -0.5 {
        format!("-{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["what", "n"]);
        table.row(["µs", "1,000"]);
        table.row(["longer"]);
        let wanted =
            "| what   |     n |\n|--------|------:|\n| µs     | 1,000 |\n| longer |       |\n";
        assert_eq!(table.render(), wanted);
    }

    #[test]
    fn thousands_are_apart() {
        let numbers = [0.4, 999.0, 1000.0, 1_234_567.0, -1234.0, -0.2];
        let texts = numbers.map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567", "-1,234", "0"]);
    }
}
