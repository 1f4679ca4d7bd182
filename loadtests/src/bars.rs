//! Bars, as SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const LABEL: f64 = 210.0;
const VALUE: f64 = 90.0;
const ROW: f64 = 24.0;

/// A bar with its label and what is written at its end.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    pub(crate) text: String,
    /// Whether it is the one that the chart is about.
    pub(crate) ours: bool,
}

/// Charts below each other: a title and its bars, each chart with its own scale from 0.
pub(crate) fn svg(charts: &[(String, Vec<Bar>)]) -> String {
    let mut body = String::new();
    let mut y = 10.0;
    for (title, bars) in charts {
        y += ROW;
        // Writing to a string does not fail.
        let _ = writeln!(
            body,
            r#"<text x="10" y="{y}" font-weight="bold">{}</text>"#,
            escape(title)
        );
        let most = bars
            .iter()
            .map(|bar| bar.value)
            .fold(f64::MIN_POSITIVE, f64::max);
        for bar in bars {
            y += ROW;
            let width = (WIDTH - LABEL - VALUE) * bar.value.max(0.0) / most;
            let colour = if bar.ours { "#2563eb" } else { "#94a3b8" };
            let (top, end) = (y - 14.0, LABEL + width + 6.0);
            let (label, text) = (escape(&bar.label), escape(&bar.text));
            let _ = writeln!(
                body,
                r#"<text x="20" y="{y}">{label}</text><rect x="{LABEL}" y="{top}" width="{width:.1}" height="18" rx="2" fill="{colour}"/><text x="{end:.1}" y="{y}">{text}</text>"#
            );
        }
        y += 8.0;
    }
    let height = y + 16.0;
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" fill="#0f172a"><rect width="100%" height="100%" fill="white"/>
{body}</svg>
"##
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_has_the_whole_width_and_the_others_their_share() {
        let bar = |value, ours| Bar {
            label: "a < b".to_owned(),
            value,
            text: value.to_string(),
            ours,
        };
        let svg = svg(&[("title".to_owned(), vec![bar(4.0, true), bar(1.0, false)])]);
        assert!(svg.contains(r#"width="420.0""#) && svg.contains(r#"width="105.0""#));
        assert!(svg.contains("a &lt; b"));
    }
}
