//! The fuzzer's checks without the fuzzer: with everything it was ever given to begin with, or found, and with noise.

use std::path::Path;

use proptest::prelude::*;

use crate::{checks, world::cases};

type Check = (&'static str, fn(&[u8]));

const CHECKS: [Check; 5] = [
    ("slug", checks::slug),
    ("spec", checks::spec),
    ("schema", checks::schema),
    ("state", checks::state),
    ("config", checks::config),
];

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.map(|file| std::fs::read(file).unwrap()).collect()
}

#[test]
fn what_is_kept_holds() {
    for (name, check) in CHECKS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name}");
        inputs.iter().for_each(|input| check(input));
    }
}

/// One thing that is kept, with a part of it replaced by a part of another or by noise.
fn mangled() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let noise = prop::collection::vec(any::<u8>(), 0..9);
    let which = (0..CHECKS.len(), any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let place = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_usize..9);
    (which, place, prop::option::of(noise)).prop_map(|((check, one, other), (from, at, count), noise)| {
        let kept = corpus(CHECKS[check].0);
        let (one, other) = (one.get(&kept), other.get(&kept));
        let (from, at) = (from.index(one.len() + 1), at.index(other.len() + 1));
        let put = noise.unwrap_or_else(|| other[at..].iter().take(24).copied().collect());
        let rest = &one[(from + count).min(one.len())..];
        (check, [&one[..from], &put, rest].concat())
    })
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn what_is_mangled_is_refused_or_sound((check, input) in mangled()) {
        CHECKS[check].1(&input);
    }
}
