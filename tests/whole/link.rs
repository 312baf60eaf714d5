//! The way from a registry to Temporal, as bad as a test wants it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// They pass.
    Open,
    /// They pass late.
    Slow(Duration),
    /// They wait, and so does who sent them.
    Stalled,
    /// Requests pass, answers wait.
    Mute,
    /// Connections are cut, and new ones are refused.
    Gone,
}

/// A TCP proxy on a port of its own.
pub struct Link {
    pub address: String,
    way: watch::Sender<Way>,
    cuts: watch::Sender<u64>,
}

impl Link {
    /// A way to this address, open.
    pub async fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let here = listener.local_addr().expect("its address").to_string();
        let (way, cuts) = (watch::channel(Way::Open).0, watch::channel(0).0);
        let watched = (way.subscribe(), cuts.subscribe());
        tokio::spawn(accept(listener, here.clone(), address.to_owned(), watched));
        Self { address: here, way, cuts }
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Ends every connection; new ones pass.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

type Watched = (watch::Receiver<Way>, watch::Receiver<u64>);

async fn accept(first: TcpListener, here: String, there: String, (mut way, cuts): Watched) {
    let mut listener = Some(first);
    loop {
        let open = match listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(&here).await.expect("the same port again"),
        };
        let mut leaving = way.clone();
        loop {
            tokio::select! {
                accepted = open.accept() => {
                    let Ok((near, _)) = accepted else { continue };
                    tokio::spawn(carry(near, there.clone(), (way.clone(), cuts.clone())));
                }
                _ = leaving.wait_for(|way| *way == Way::Gone) => break,
            }
        }
        drop(open);
        if way.wait_for(|way| *way != Way::Gone).await.is_err() {
            return;
        }
    }
}

async fn carry(near: TcpStream, there: String, (way, mut cuts): Watched) {
    let Ok(far) = TcpStream::connect(there).await else { return };
    let (_, _) = (near.set_nodelay(true), far.set_nodelay(true));
    let mut gone = way.clone();
    cuts.mark_unchanged();
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        // What waits when a connection is cut never arrives.
        biased;
        _ = cuts.changed() => {}
        _ = gone.wait_for(|way| *way == Way::Gone) => {}
        () = pump(near_in, far_out, way.clone(), |way| way != Way::Stalled) => {}
        () = pump(far_in, near_out, way, |way| ![Way::Stalled, Way::Mute].contains(&way)) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
    passes: fn(Way) -> bool,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let Ok(now) = way.wait_for(|way| passes(*way)).await.map(|way| *way) else { return };
        if let Way::Slow(late) = now {
            tokio::time::sleep(late).await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
