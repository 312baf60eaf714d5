//! Pages of sorted lists. A page token is the key of the last item seen, so a list that changes between
//! two pages neither repeats nor loses what did not change.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::problem::Problem;

/// The largest page, in items.
pub const LIMIT_MAX: usize = 1000;

/// Which page is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Items at most; `None` is all of them.
    pub limit: Option<usize>,
    /// Only items whose key is greater.
    pub after: Option<String>,
}

impl Page {
    /// Reads the query parameters `limit` (1..=1000) and `page_token`; 400 when either is not valid.
    pub fn new(limit: Option<u32>, page_token: Option<&str>) -> Result<Self, Problem> {
        let limit = limit.map(|limit| limit as usize);
        if let Some(limit) = limit.filter(|limit| !(1..=LIMIT_MAX).contains(limit)) {
            let (msg, kind) =
                (format!("must be 1 to {LIMIT_MAX}"), if limit == 0 { "minimum" } else { "maximum" });
            return Err(Problem::invalid_at(&["query", "limit"], msg, kind));
        }
        let after = page_token.map(|token| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
                Problem::invalid_at(
                    &["query", "page_token"],
                    "is not a token given by this list",
                    "page_token",
                )
            })
        });
        Ok(Self { limit, after: after.transpose()? })
    }

    /// Cuts this page out of items in ascending byte order of a unique key: the items, and the token of the
    /// next page when there is one.
    pub fn cut<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> &str,
    ) -> (Vec<T>, Option<String>) {
        let seen = |item: &T| self.after.as_deref().is_some_and(|after| key(item) <= after);
        let mut rest = items.into_iter().skip_while(seen);
        let Some(limit) = self.limit else { return (rest.collect(), None) };
        let page: Vec<T> = rest.by_ref().take(limit).collect();
        let token = rest.next().and(page.last()).map(|last| BASE64_URL_SAFE_NO_PAD.encode(key(last)));
        (page, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_a_list_once() {
        let all = ["a", "b", "z", "ü"];
        for limit in 1..=5 {
            let (mut seen, mut token) = (Vec::new(), None::<String>);
            loop {
                let page = Page::new(Some(limit), token.as_deref()).unwrap();
                let (items, next) = page.cut(all, |item| item);
                assert!(items.len() <= limit as usize);
                seen.extend(items);
                token = next;
                if token.is_none() {
                    break;
                }
            }
            assert_eq!(seen, all, "limit {limit}");
        }
        assert_eq!(Page::default().cut(all, |item| item), (all.to_vec(), None));
    }

    #[test]
    fn a_removed_last_item_loses_nothing() {
        let (_, token) = Page::new(Some(2), None).unwrap().cut(["a", "b", "c"], |item| item);
        let page = Page::new(None, token.as_deref()).unwrap();
        assert_eq!(page.cut(["a", "c"], |item| item).0, ["c"]);
    }

    #[test]
    fn bad_parameters_are_named() {
        for (limit, token, name) in [
            (Some(0), None, "limit"),
            (Some(1001), None, "limit"),
            (None, Some("!"), "page_token"),
            (None, Some("_w"), "page_token"),
        ] {
            let problem = Page::new(limit, token).unwrap_err();
            assert_eq!(problem.details[0].loc, ["query", name], "{limit:?} {token:?}");
        }
    }
}
