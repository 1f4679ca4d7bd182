//! Reads which paths a source file uses. Not a parser of Rust: it knows comments, strings,
//! braces and `::`, which is all that this needs.

/// The first name of a path behind the crate's root, or of another crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// From 1.
    pub(super) line: usize,
    pub(super) name: String,
}

/// What a file mentions outside of `#[cfg(test)]`.
#[derive(Debug, Default)]
pub(super) struct Source {
    of_this_crate: Vec<Reference>,
    of_other_crates: Vec<Reference>,
    test_modules: Vec<Vec<String>>,
}

impl Source {
    /// Reads the text of the module at this path from the crate's root.
    pub(super) fn read(module: &[String], text: &str) -> Self {
        let tokens = tokens(text);
        let mut source = Self::default();
        // For each open brace, whether it is that of a module.
        let mut braces: Vec<bool> = Vec::new();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token.text.as_str() {
                "#" if is_cfg_test(&tokens[at..]) => {
                    let attribute = 7;
                    if let Some(name) = file_module(&tokens[at + attribute..]) {
                        source.test_modules.push([module, &[name]].concat());
                    }
                    at += attribute + item_length(&tokens[at + attribute..]);
                    continue;
                }
                "{" => braces.push(at >= 2 && tokens[at - 2].text == "mod"),
                "}" => {
                    braces.pop();
                }
                "crate" if follows(&tokens[at..], &["crate", "::"]) => {
                    first_names(&tokens[at + 2..], &mut source.of_this_crate);
                }
                "super" if at == 0 || tokens[at - 1].text != "::" => {
                    let depth = module.len() + braces.iter().filter(|module| **module).count();
                    let mut ups = 0;
                    while follows(&tokens[at + 2 * ups..], &["super", "::"]) {
                        ups += 1;
                    }
                    if ups == depth {
                        first_names(&tokens[at + 2 * ups..], &mut source.of_this_crate);
                    }
                }
                _ if token.is_name()
                    && follows(&tokens[at + 1..], &["::"])
                    && (at == 0 || tokens[at - 1].text != "::") =>
                {
                    source.of_other_crates.push(token.reference());
                }
                _ => {}
            }
            at += 1;
        }
        source
    }

    /// The modules of this crate that are named from its root.
    pub(super) fn of_this_crate(&self) -> impl Iterator<Item = Reference> {
        self.of_this_crate.iter().cloned()
    }

    /// The beginnings of all other paths, other crates among them.
    pub(super) fn of_other_crates(&self) -> impl Iterator<Item = Reference> {
        self.of_other_crates.iter().cloned()
    }

    /// The files that only tests are compiled with, as module paths.
    pub(super) fn test_modules(&self) -> Vec<Vec<String>> {
        self.test_modules.clone()
    }
}

#[derive(Debug, Clone)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_name(&self) -> bool {
        self.text.starts_with(is_name_part)
    }

    fn reference(&self) -> Reference {
        Reference {
            line: self.line,
            name: self.text.clone(),
        }
    }
}

fn is_name_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn follows(tokens: &[Token], wanted: &[&str]) -> bool {
    tokens.len() >= wanted.len() && tokens.iter().zip(wanted).all(|(a, b)| a.text == *b)
}

fn is_cfg_test(tokens: &[Token]) -> bool {
    follows(tokens, &["#", "[", "cfg", "(", "test", ")", "]"])
}

/// The name in `mod name;`, attributes and visibility aside.
fn file_module(tokens: &[Token]) -> Option<String> {
    let item = &tokens[..item_length(tokens)];
    match item {
        [.., keyword, name, end] if keyword.text == "mod" && end.text == ";" => {
            Some(name.text.clone())
        }
        _ => None,
    }
}

/// The tokens up to the `;` or the closing brace that ends an item.
fn item_length(tokens: &[Token]) -> usize {
    let mut open = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" | "(" | "[" => open += 1,
            "}" | ")" | "]" => {
                open = open.saturating_sub(1);
                // A brace within `use a::{b};` is followed by the real end.
                let more = tokens.get(at + 1).is_some_and(|next| next.text == ";");
                if open == 0 && token.text == "}" && !more {
                    return at + 1;
                }
            }
            ";" if open == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The first name of a path, or of each path of a `{group}`.
fn first_names(tokens: &[Token], found: &mut Vec<Reference>) {
    if !follows(tokens, &["{"]) {
        found.extend(
            tokens
                .first()
                .filter(|token| token.is_name())
                .map(Token::reference),
        );
        return;
    }
    let mut open = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => open += 1,
            "}" => open -= 1,
            _ if open == 1 && matches!(tokens[at - 1].text.as_str(), "{" | ",") => {
                found.push(token.reference());
            }
            _ => {}
        }
        if open == 0 {
            return;
        }
    }
}

/// The names and signs of a text, without comments, strings and lifetimes.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' | 'b' | 'c' if raw_or_byte_string(rest).is_some() => {
                raw_or_byte_string(rest).unwrap_or(1)
            }
            '\'' => quoted_or_lifetime(rest),
            _ if is_name_part(c) => {
                let length = rest.find(|c| !is_name_part(c)).unwrap_or(rest.len());
                tokens.push(Token {
                    line,
                    text: rest[..length].to_owned(),
                });
                length
            }
            _ if c.is_whitespace() => c.len_utf8(),
            _ => {
                let length = if rest.starts_with("::") {
                    2
                } else {
                    c.len_utf8()
                };
                tokens.push(Token {
                    line,
                    text: rest[..length].to_owned(),
                });
                length
            }
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let (mut at, mut open) = (0, 0_usize);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (at, open) = (at + 2, open + 1);
        } else if text[at..].starts_with("*/") {
            (at, open) = (at + 2, open - 1);
            if open == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a string that begins with its quote.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"` and the like.
fn raw_or_byte_string(text: &str) -> Option<usize> {
    let letters = text
        .find(|c| !matches!(c, 'r' | 'b' | 'c'))
        .filter(|n| *n <= 2)?;
    let after = &text[letters..];
    if !text[..letters].contains('r') {
        return after.starts_with('"').then(|| letters + string(after));
    }
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let closing = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(letters + hashes + 1 + closing)
}

/// The length of a character literal, or of the quote of a lifetime.
fn quoted_or_lifetime(text: &str) -> usize {
    let mut inside = text[1..].chars();
    match (inside.next(), inside.next()) {
        (Some('\\'), Some(escaped)) => {
            let begun = 2 + escaped.len_utf8();
            text[begun..]
                .find('\'')
                .map_or(text.len(), |at| begun + at + 1)
        }
        (Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 1,
    }
}
