//! The dev server against the real Temporal CLI.

use std::{net::TcpListener, path::PathBuf, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use temporal_registry::dev_server::{DevServer, DevServerOptions};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn options(db: Option<PathBuf>) -> DevServerOptions {
    DevServerOptions { program: None, port: free_port(), ui_port: None, db }
}

async fn message(options: DevServerOptions) -> String {
    format!("{:#}", DevServer::start(options).await.unwrap_err())
}

#[tokio::test]
async fn starts_answers_stops_and_keeps_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("made/here/dev.db");
    let mut with_ui = options(Some(db.clone()));
    with_ui.ui_port = Some(free_port());
    let ports = [with_ui.port, with_ui.ui_port.unwrap()];

    let server = DevServer::start(with_ui.clone()).await.unwrap();
    assert_eq!(server.address(), format!("127.0.0.1:{}", ports[0]));
    assert!(db.is_file());

    // What a second one says while the first holds its ports.
    let taken = message(with_ui.clone()).await;
    assert!(taken.contains(&ports[0].to_string()) && taken.contains("--temporal-port"), "{taken}");
    let taken = message(DevServerOptions { port: free_port(), ..with_ui.clone() }).await;
    assert!(taken.contains(&ports[1].to_string()) && taken.contains("--ui-port"), "{taken}");

    server.stop().await;
    for port in ports {
        TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
    // The file it left can be used again.
    DevServer::start(with_ui).await.unwrap().stop().await;
}

#[tokio::test]
async fn says_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("dev.db");
    std::fs::write(&db, "this is no database").unwrap();
    let ended = message(options(Some(db))).await;
    assert!(ended.contains("ended") && ended.contains("not a database"), "{ended}");

    let mut server = DevServer::start(options(None)).await.unwrap();
    let process = Pid::from_raw(server.process_id().unwrap().try_into().unwrap());
    kill(process, Signal::SIGKILL).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), server.exited()).await.unwrap();
    assert!(ended.contains("signal: 9"), "{ended}");
    server.stop().await;
}
