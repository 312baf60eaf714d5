//! Temporal's own configuration file, which its CLI and SDKs share: the profile in force, as a layer of our settings.

use std::collections::BTreeMap;

use temporalio_common::envconfig::{
    ClientConfigProfile, ClientConfigTLS, DEFAULT_PROFILE, DataSource, LoadClientConfigOptions,
    load_client_config,
};

use crate::config::{ConfigError, Problem, Profile};

const FILE_VARIABLE: &str = "TEMPORAL_CONFIG_FILE";
const NAME_VARIABLE: &str = "TEMPORAL_PROFILE";

/// The profile that `TEMPORAL_PROFILE` names, else the one called `default`, of the file that `TEMPORAL_CONFIG_FILE`
/// names, else of the one in this user's configuration folder; empty when there is none.
///
/// # Errors
/// When a file or profile that is named is not there, or the file is not of use.
pub fn profile(environment: &BTreeMap<String, String>) -> Result<Profile, ConfigError> {
    let given = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let file = given(FILE_VARIABLE);
    let place =
        file.map_or_else(|| "Temporal's configuration file".to_owned(), |file| format!("file {file}"));
    let allowed = "a TOML file with tables [profile.NAME], as `temporal config` writes it";
    if let Some(Err(error)) = file.map(std::fs::metadata) {
        return Err(refusal(
            format!("environment variable {FILE_VARIABLE}"),
            format!("{place}: {error}"),
            allowed,
        ));
    }
    let options = LoadClientConfigOptions::builder().maybe_config_source(file.cloned().map(DataSource::Path));
    let mut config = load_client_config(options.build(), None).map_err(|error| {
        // The first line has the place; those below show what is there, which may be a secret.
        let message = error.to_string().lines().next().unwrap_or_default().to_owned();
        refusal(place.clone(), message, allowed)
    })?;
    let name = given(NAME_VARIABLE).map(String::as_str);
    match (config.profiles.remove(name.unwrap_or(DEFAULT_PROFILE)), name) {
        (Some(profile), _) => {
            let name = name.unwrap_or(DEFAULT_PROFILE);
            Ok(Profile { source: format!("profile {name:?} of {place}"), values: values(profile) })
        }
        (None, None) => Ok(Profile::default()),
        (None, Some(name)) => {
            let mut known: Vec<_> = config.profiles.into_keys().collect();
            known.sort();
            let message = format!("there is no profile {name:?} in {place}");
            let allowed = format!("one of its profiles ({}), or empty", known.join(", "));
            Err(refusal(format!("environment variable {NAME_VARIABLE}"), message, &allowed))
        }
    }
}

fn refusal(source: String, message: String, allowed: &str) -> ConfigError {
    Problem { key: "temporal".to_owned(), source, message, allowed: allowed.to_owned() }.into()
}

fn values(profile: ClientConfigProfile) -> Vec<(&'static str, String)> {
    let has_key = profile.api_key.as_ref().is_some_and(|key| !key.is_empty());
    let tls = match &profile.tls {
        Some(tls) => Some(tls.disabled != Some(true)),
        // As the SDKs have it: a key is reason enough.
        None => has_key.then_some(true),
    };
    let ClientConfigTLS { client_cert, client_key, server_ca_cert, server_name, .. } =
        profile.tls.filter(|_| tls == Some(true)).unwrap_or_default();
    let values = [
        ("temporal.address", profile.address),
        ("temporal.namespace", profile.namespace),
        ("temporal.api_key", profile.api_key),
        ("temporal.tls", tls.map(|tls| tls.to_string())),
        ("temporal.tls_ca", server_ca_cert.and_then(pem)),
        ("temporal.tls_cert", client_cert.and_then(pem)),
        ("temporal.tls_key", client_key.and_then(pem)),
        ("temporal.tls_domain", server_name),
    ];
    values
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.filter(|value| !value.is_empty())?)))
        .collect()
}

fn pem(source: DataSource) -> Option<String> {
    match source {
        DataSource::Path(path) => Some(path),
        DataSource::Data(bytes) => String::from_utf8(bytes).ok(),
        // There are no others.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Flag, Pem, Settings, TemporalTls};

    const FILE: &str = r#"
        [profile.default]
        address = "one.example:7233"

        [profile.cloud]
        address = "two.example:7233"
        namespace = "prod.acct"
        api_key = "hush"

        [profile.mutual.tls]
        client_cert_path = "Cargo.toml"
        client_key_data = "-----BEGIN hush"
        server_name = "temporal.example"

        [profile.off]
        tls = { disabled = true, client_cert_path = "/no/such.pem" }
    "#;

    fn load(file: &Path, env: &[(&str, &str)], flags: &[Flag]) -> Result<Settings, String> {
        let file = [(FILE_VARIABLE, file.to_str().unwrap())];
        let pairs = file.iter().chain(env).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = pairs.collect();
        let profile = profile(&environment).map_err(|error| error.to_string())?;
        Settings::load_over(&profile, None, &environment, flags).map_err(|error| error.to_string())
    }

    fn written(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_profile_is_under_everything_but_the_defaults() {
        let file = written(FILE);
        let flag =
            || vec![Flag { name: "--temporal-address", key: "temporal.address", value: "flag:3".into() }];
        for (env, flags, url, namespace) in [
            (&[][..], vec![], "http://one.example:7233", "default"),
            (&[("TEMPORAL_PROFILE", "")], vec![], "http://one.example:7233", "default"),
            (&[("TEMPORAL_PROFILE", "cloud")], vec![], "https://two.example:7233", "prod.acct"),
            (
                &[("TEMPORAL_PROFILE", "cloud"), ("TEMPORAL_ADDRESS", "env:2")],
                vec![],
                "https://env:2",
                "prod.acct",
            ),
            (&[("TEMPORAL_PROFILE", "cloud"), ("TEMPORAL_NAMESPACE", "ns")], flag(), "https://flag:3", "ns"),
            (&[("TEMPORAL_PROFILE", "off")], vec![], "http://localhost:7233", "default"),
        ] {
            let settings = load(file.path(), env, &flags).unwrap().temporal;
            assert_eq!((settings.url().as_str(), settings.namespace.as_str()), (url, namespace), "{env:?}");
        }
    }

    #[test]
    fn keys_and_certificates_come_along_and_are_not_shown() {
        let file = written(FILE);
        let settings = load(file.path(), &[("TEMPORAL_PROFILE", "cloud")], &[]).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
        assert_eq!(settings.temporal.tls.unwrap().api_key.unwrap().expose(), "hush");

        let settings = load(file.path(), &[("TEMPORAL_PROFILE", "mutual")], &[]).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
        let TemporalTls { identity, domain, ca, .. } = settings.temporal.tls.unwrap();
        let (cert, key) = identity.unwrap();
        assert!(matches!(cert, Pem::File(path) if path == Path::new("Cargo.toml")));
        assert!(matches!(key, Pem::Text(text) if text.expose() == "-----BEGIN hush"));
        assert_eq!((domain.as_deref(), ca.is_none()), (Some("temporal.example"), true));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let file = written(FILE);
        let at = file.path().display();
        let none = format!(
            "there is no profile \"nope\" in file {at} (environment variable TEMPORAL_PROFILE); allowed: one of its \
             profiles (cloud, default, mutual, off), or empty"
        );
        let off =
            format!("temporal.api_key: is set while temporal.tls is off (profile \"cloud\" of file {at})");
        for (env, expected) in [
            (vec![("TEMPORAL_PROFILE", "nope")], none),
            (vec![("TEMPORAL_PROFILE", "cloud"), ("TEMPORAL_TLS", "no")], off),
        ] {
            let message = load(file.path(), &env, &[]).unwrap_err();
            assert!(message.contains(&expected), "{message}");
        }
        for (text, expected) in [
            ("[profile.default]\napi_key = hush", "TOML parse error at line 2"),
            (
                "[profile.default.tls]\nclient_cert_path = \"/no/such.pem\"\nclient_key_path = \"Cargo.toml\"",
                "\"/no/such.pem\"",
            ),
        ] {
            let file = written(text);
            let message = load(file.path(), &[], &[]).unwrap_err();
            assert!(
                message.contains(expected) && message.contains(&*file.path().to_string_lossy()),
                "{message}"
            );
            assert!(!message.contains("hush"), "{message}");
        }
        let message = load(Path::new("/no/such.toml"), &[], &[]).unwrap_err();
        assert!(message.contains("/no/such.toml") && message.contains(FILE_VARIABLE), "{message}");
    }
}
