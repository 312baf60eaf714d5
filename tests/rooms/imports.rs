//! Finds what a source file names, from its tokens: paths in `use`, in code, in macros and in strings of attributes.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One name a file uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// From the crate's root when local, else beginning with the crate. `*` stands for a glob.
    pub path: Vec<String>,
    pub is_local: bool,
}

/// Every name used outside tests by `text`, the file of the module `module`. `crates` are the crates there are.
pub fn imports(text: &str, module: &[String], crates: &BTreeSet<String>) -> BTreeSet<Import> {
    let tokens = parse(text);
    let mut scan = Scan { crates, bound: BTreeSet::new(), found: BTreeSet::new() };
    bound_names(&tokens, &mut scan.bound);
    scan.tokens(&tokens, module);
    scan.found
}

/// Names of the modules in files of their own that `text` declares for tests only.
pub fn test_modules(text: &str) -> Vec<String> {
    let tokens = parse(text);
    let mut names = Vec::new();
    for at in 0..tokens.len() {
        if let Some(end) = test_item_end(&tokens, at)
            && let Some(keyword) = (at..end).find(|i| is_word(tokens.get(*i), "mod"))
            && let Some(TokenTree::Ident(name)) = tokens.get(keyword + 1)
            && is_punct(tokens.get(keyword + 2), ';')
        {
            names.push(name.to_string());
        }
    }
    names
}

fn parse(text: &str) -> Vec<TokenTree> {
    text.parse::<TokenStream>().expect("a source file that compiles").into_iter().collect()
}

struct Scan<'a> {
    crates: &'a BTreeSet<String>,
    /// Modules declared in this file: they hide crates of the same name.
    bound: BTreeSet<String>,
    found: BTreeSet<Import>,
}

impl Scan<'_> {
    fn tokens(&mut self, tokens: &[TokenTree], module: &[String]) {
        let mut at = 0;
        while at < tokens.len() {
            if let Some(end) = test_item_end(tokens, at) {
                at = end;
                continue;
            }
            at = match &tokens[at] {
                // `impl Trait + use<'a>` captures, and imports nothing.
                TokenTree::Ident(word) if word == "use" && !is_punct(tokens.get(at + 1), '<') => {
                    let end =
                        (at..tokens.len()).find(|i| is_punct(tokens.get(*i), ';')).unwrap_or(tokens.len());
                    self.use_tree(&tokens[at + 1..end], &[], module);
                    end
                }
                TokenTree::Ident(word) if word == "extern" && is_word(tokens.get(at + 1), "crate") => {
                    self.use_tree(&tokens[at + 2..at + 3], &[], module);
                    at + 3
                }
                TokenTree::Ident(word) if word == "mod" => {
                    if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) =
                        (tokens.get(at + 1), tokens.get(at + 2))
                    {
                        let inner = [module, &[name.to_string()]].concat();
                        self.tokens(&body.stream().into_iter().collect::<Vec<_>>(), &inner);
                        at + 3
                    } else {
                        at + 1
                    }
                }
                TokenTree::Ident(_) => {
                    let (path, end) = path_at(tokens, at);
                    // `::x` is a crate; `<T>::x` and `f::<T>::x` are not paths of their own.
                    let is_after_colons = at >= 2 && is_colons(tokens, at - 2);
                    let is_continued = is_after_colons && at >= 3 && is_punct(tokens.get(at - 3), '>');
                    if path.len() > 1 && !is_continued {
                        self.add(path, is_after_colons, module, false);
                    }
                    end
                }
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    let is_attribute = group.delimiter() == Delimiter::Bracket
                        && at > 0
                        && is_attribute_mark(tokens, at - 1);
                    if is_attribute && !is_word(inner.first(), "doc") {
                        self.strings(&inner, module);
                    }
                    self.tokens(&inner, module);
                    at + 1
                }
                _ => at + 1,
            };
        }
    }

    /// Paths written as strings, as in `#[serde(with = "crate::x")]`.
    fn strings(&mut self, tokens: &[TokenTree], module: &[String]) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => {
                    self.strings(&group.stream().into_iter().collect::<Vec<_>>(), module)
                }
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let text = text.trim_matches('"');
                    if text.contains("::")
                        && let Ok(inner) = text.parse::<TokenStream>()
                    {
                        self.tokens(&inner.into_iter().collect::<Vec<_>>(), module);
                    }
                }
                _ => {}
            }
        }
    }

    /// One tree of a `use`, below `prefix`.
    fn use_tree(&mut self, tokens: &[TokenTree], prefix: &[String], module: &[String]) {
        let mut path = prefix.to_vec();
        let is_global = is_colons(tokens, 0);
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(word) if word == "as" => break,
                // `a::{self}` is `a`.
                TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == '*' => path.push("*".into()),
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for tree in
                        inner.split(|token| is_punct(Some(token), ',')).filter(|tree| !tree.is_empty())
                    {
                        self.use_tree(tree, &path, module);
                    }
                    return;
                }
                _ => debug_assert!(is_punct(Some(token), ':'), "{at}: {token}"),
            }
        }
        self.add(path, is_global, module, true);
    }

    fn add(&mut self, path: Vec<String>, is_global: bool, module: &[String], is_use: bool) {
        let first = path[0].as_str();
        let import = match first {
            _ if is_global => Import { path, is_local: false },
            "crate" => Import { path: path[1..].to_vec(), is_local: true },
            "self" | "super" => {
                let rest = &path[usize::from(first == "self")..];
                let ups = rest.iter().take_while(|word| *word == "super").count();
                let base = &module[..module.len().saturating_sub(ups)];
                Import { path: [base, &rest[ups..]].concat(), is_local: true }
            }
            // Whichever way the type was imported.
            _ if is_clock_read(&path) => Import { path, is_local: false },
            name if self.bound.contains(name) => return,
            name if self.crates.contains(name) => Import { path, is_local: false },
            // In code: a type, or something imported. In a `use`: the same when it is written as a type.
            name if is_use && name.starts_with(char::is_lowercase) => Import { path, is_local: false },
            _ => return,
        };
        self.found.insert(import);
    }
}

/// Whether a path reads the time of day.
pub fn is_clock_read(path: &[String]) -> bool {
    let [.., kind, function] = path else { return false };
    function == "now" && ["SystemTime", "Utc", "Local"].contains(&kind.as_str())
}

/// Collects the modules declared anywhere in a file.
fn bound_names(tokens: &[TokenTree], bound: &mut BTreeSet<String>) {
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => bound_names(&group.stream().into_iter().collect::<Vec<_>>(), bound),
            TokenTree::Ident(name) if at > 0 && is_word(tokens.get(at - 1), "mod") => {
                bound.insert(name.to_string());
            }
            _ => {}
        }
    }
}

/// The path that begins at `at`, and the index after it.
fn path_at(tokens: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    while let Some(TokenTree::Ident(word)) = tokens.get(at) {
        path.push(word.to_string());
        at += 1;
        if !(is_colons(tokens, at) && matches!(tokens.get(at + 2), Some(TokenTree::Ident(_)))) {
            break;
        }
        at += 2;
    }
    (path, at)
}

/// When an attribute `#[cfg(test)]` begins at `at`: the index after the item it belongs to.
fn test_item_end(tokens: &[TokenTree], at: usize) -> Option<usize> {
    let Some(TokenTree::Group(attribute)) = tokens.get(at + 1) else { return None };
    if !is_punct(tokens.get(at), '#') || attribute.stream().to_string().replace(' ', "") != "cfg(test)" {
        return None;
    }
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is_punct(Some(token), ';'),
    };
    Some(tokens[at + 2..].iter().position(is_end).map_or(tokens.len(), |item| at + 2 + item + 1))
}

fn is_attribute_mark(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), '#')
        || (is_punct(tokens.get(at), '!') && at > 0 && is_punct(tokens.get(at - 1), '#'))
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
}
