//! Slug counters: `<slug>-r<N>` for human names.

use serde::{Deserialize, Serialize};

use super::{Outcome, Refusal, changes::Key, size, state::Registry};

/// Longest name that is taken, in characters.
pub const SLUG_NAME_CHARS_MAX: usize = 128;

/// The last number given for a slug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlugCounter {
    /// The slug.
    pub slug: String,
    /// The last number given.
    pub counter: u64,
    /// When, milliseconds since the Unix epoch.
    pub last_claimed_ms: i64,
    /// Registry revision of the last change.
    pub changed: u64,
}

impl SlugCounter {
    /// Whether nobody claimed from it for so long that it counts as dropped.
    pub fn has_lapsed(&self, ttl_ms: i64, now_ms: i64) -> bool {
        now_ms - self.last_claimed_ms > ttl_ms
    }
}

/// Lower case; every run of other characters than `a-z`, `0-9` and `-` becomes one `-`; no `-` at either end.
pub fn slugify(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    let mut gap = false;
    for character in name.to_lowercase().chars() {
        if matches!(character, 'a'..='z' | '0'..='9' | '-') {
            if gap {
                slug.push('-');
            }
            slug.push(character);
            gap = false;
        } else {
            gap = true;
        }
    }
    slug.trim_matches('-').to_owned()
}

/// The workflow id of the Nth run of a slug.
pub fn run_name(slug: &str, counter: u64) -> String {
    format!("{slug}-r{counter}")
}

impl Registry {
    pub(super) fn claim(&mut self, name: &str, now_ms: i64) -> Outcome {
        match self.next_run(name, now_ms) {
            Ok((slug, counter)) => Outcome::Claimed { slug, counter },
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    pub(super) fn next_run(&mut self, name: &str, now_ms: i64) -> Result<(String, u64), Refusal> {
        let slug = checked_slug(name)?;
        self.forget_slugs(now_ms);
        let last = self.state.slugs.get(&slug).cloned();
        let counter = last.as_ref().map_or(0, |last| last.counter) + 1;
        let before = last.as_ref().map_or(0, |last| last.changed);
        match &last {
            Some(last) => _ = self.slug_age.remove(&last.changed),
            None => self.grow(size::slug(&slug)),
        }
        let changed = self.touch(Key::Slug(slug.clone()), before);
        self.slug_age.insert(changed, slug.clone());
        let next = SlugCounter { slug: slug.clone(), counter, last_claimed_ms: now_ms, changed };
        self.state.slugs.insert(slug.clone(), next);
        while self.state.slugs.len() > self.state.limits.slugs_max && self.forget_oldest_slug() {}
        Ok((slug, counter))
    }

    pub(super) fn reset_slug(&mut self, name: &str, now_ms: i64) -> Outcome {
        match checked_slug(name) {
            Ok(slug) => {
                self.forget_slugs(now_ms);
                let previous = self.drop_slug(&slug);
                Outcome::SlugReset { slug, previous_counter: previous }
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Drops counters that nobody claimed from for the configured time.
    pub(super) fn forget_slugs(&mut self, now_ms: i64) {
        let Some(ttl_ms) = self.state.limits.slug_ttl_ms else { return };
        while let Some((_, slug)) = self.slug_age.first_key_value()
            && self.state.slugs.get(slug).is_none_or(|oldest| oldest.has_lapsed(ttl_ms, now_ms))
            && self.forget_oldest_slug()
        {}
    }

    fn forget_oldest_slug(&mut self) -> bool {
        let Some((_, slug)) = self.slug_age.pop_first() else { return false };
        self.drop_slug(&slug);
        true
    }

    fn drop_slug(&mut self, slug: &str) -> u64 {
        let Some(last) = self.state.slugs.remove(slug) else { return 0 };
        self.slug_age.remove(&last.changed);
        self.shrink(size::slug(slug));
        self.bury(Key::Slug(slug.to_owned()), last.changed);
        last.counter
    }
}

fn checked_slug(name: &str) -> Result<String, Refusal> {
    if name.chars().count() > SLUG_NAME_CHARS_MAX {
        return Err(Refusal::BadName {
            reason: format!("name has more than {SLUG_NAME_CHARS_MAX} characters"),
        });
    }
    let slug = slugify(name);
    if slug.is_empty() {
        return Err(Refusal::BadName { reason: "name has no letter or digit to make a slug of".to_owned() });
    }
    Ok(slug)
}
