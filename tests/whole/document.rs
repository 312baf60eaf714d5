//! The OpenAPI document, taken at its word by programs that know nothing of this one.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::harness::{Registry, Temporal, python};

const TOKEN: &str = "root";

#[tokio::test]
async fn the_program_does_what_the_document_says() {
    let temporal = Temporal::start().await;
    let env = [
        ("TEMPORAL_REGISTRY_AUTH_ENABLED", "true"),
        ("TEMPORAL_REGISTRY_TOKEN", TOKEN),
        ("TEMPORAL_REGISTRY__OBSERVABILITY__DOCS_PUBLIC", "false"),
        ("TEMPORAL_REGISTRY_LOG_LEVEL", "error"),
    ];
    let registry = Registry::start_with(&temporal.address(), &env).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = python("tests/python/document.py");
    command
        .args([&registry.url, "--phases", "examples,coverage", "--no-color"])
        .env("TOKEN", TOKEN)
        .current_dir(folder.path());
    let mut child = command.spawn().expect("python runs");
    let mut output = String::new();
    let mut stdout = child.stdout.take().expect("its output");
    let read = stdout.read_to_string(&mut output);
    tokio::time::timeout(Duration::from_secs(300), read).await.expect("it ends").expect("its output");
    assert!(child.wait().await.expect("it ends").success(), "{output}");
}
