//! A stream on its way out of a process or a socket: cleaned of secrets, its head kept for the result, all of it in a
//! file when the head is not all.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
};
use tokio_util::sync::CancellationToken;

use crate::runner::{artifacts::RunFolder, outcome::Artifact, progress::LastLines, secrets::Redactor};

/// What a stream has given so far, for whoever reports progress.
#[derive(Debug, Default)]
pub struct Seen {
    /// Bytes of standard output, of standard error.
    pub bytes: [u64; 2],
    /// The last lines of both.
    pub lines: LastLines,
}

/// Keeps one stream.
#[derive(Debug)]
pub struct Capture<'a> {
    name: &'static str,
    folder: &'a RunFolder,
    redactor: Redactor,
    head: Vec<u8>,
    head_max: usize,
    file_left: u64,
    file: Option<(File, PathBuf)>,
    total: u64,
    trouble: Option<String>,
}

/// A stream that has ended.
#[derive(Debug)]
pub struct Captured {
    /// Its head.
    pub text: String,
    /// All its bytes, counted after redaction.
    pub bytes: u64,
    /// Whether the head is not all.
    pub is_truncated: bool,
    /// The file that holds all of it, when the head does not.
    pub artifact: Option<Artifact>,
    /// Why the file is missing or short.
    pub trouble: Option<String>,
}

impl<'a> Capture<'a> {
    /// A capture that keeps `head_max` bytes for the result and `file_max` in a file; 0 makes no file.
    pub fn new(
        name: &'static str,
        folder: &'a RunFolder,
        redactor: Redactor,
        head_max: usize,
        file_max: u64,
    ) -> Self {
        Self {
            name,
            folder,
            redactor,
            head: Vec::new(),
            head_max,
            file_left: file_max,
            file: None,
            total: 0,
            trouble: None,
        }
    }

    /// Takes a chunk.
    pub async fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        let clean = self.redactor.push(chunk);
        self.keep(&clean).await;
        clean
    }

    async fn keep(&mut self, clean: &[u8]) {
        self.total += clean.len() as u64;
        let fits = self.head_max.saturating_sub(self.head.len()).min(clean.len());
        if self.file.is_none() && fits < clean.len() && self.file_left > 0 && self.trouble.is_none() {
            match self.folder.create(self.name).await {
                Ok((file, path)) => {
                    self.file = Some((file, path));
                    let head = std::mem::take(&mut self.head);
                    self.write(&head).await;
                    self.head = head;
                }
                Err(reason) => self.trouble = Some(reason),
            }
        }
        self.head.extend_from_slice(&clean[..fits]);
        self.write(clean).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        let Some((file, path)) = &mut self.file else { return };
        let fits = usize::try_from(self.file_left).unwrap_or(usize::MAX).min(bytes.len());
        if fits < bytes.len() {
            self.trouble = Some(format!("{} is cut at max_artifact_bytes", path.display()));
        }
        self.file_left -= fits as u64;
        if let Err(error) = file.write_all(&bytes[..fits]).await {
            self.trouble = Some(format!("{}: {error}", path.display()));
            self.file_left = 0;
        }
    }

    /// Ends the stream.
    pub async fn finish(mut self) -> Captured {
        let rest = self.redactor.finish();
        self.keep(&rest).await;
        let mut artifact = None;
        if let Some((mut file, path)) = self.file.take() {
            if let Err(error) = file.flush().await {
                self.trouble = Some(format!("{}: {error}", path.display()));
            }
            let bytes = file.metadata().await.ok().map(|data| data.len());
            let path = Some(path.display().to_string());
            artifact = Some(Artifact { name: self.name.to_owned(), path, bytes, ..Artifact::default() });
        }
        let is_truncated = self.total > self.head.len() as u64;
        let text = fitting(String::from_utf8_lossy(&self.head).into_owned());
        Captured { text, bytes: self.total, is_truncated, artifact, trouble: self.trouble }
    }
}

/// A text as JSON may be six times as long: cuts what would make the result too big for Temporal.
fn fitting(mut text: String) -> String {
    const LONGEST: usize = 600_000;
    let mut length = 0;
    let cut = text.char_indices().find_map(|(at, c)| {
        length += match c {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            c if c.is_ascii_control() => 6,
            c => c.len_utf8(),
        };
        (length > LONGEST).then_some(at)
    });
    if let Some(at) = cut {
        text.truncate(at);
    }
    text
}

/// Reads a stream to its end, or until `stop`: a process that left the tree may hold it open for ever.
pub async fn drain(
    mut stream: impl AsyncRead + Unpin,
    mut capture: Capture<'_>,
    which: usize,
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
) -> Captured {
    let mut buffer = vec![0; 16_384];
    loop {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read,
            () = stop.cancelled() => break,
        };
        match read {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                let clean = capture.push(&buffer[..count]).await;
                let mut seen = seen.lock();
                if let Some(bytes) = seen.bytes.get_mut(which) {
                    *bytes += count as u64;
                }
                seen.lines.push(&String::from_utf8_lossy(&clean));
            }
        }
    }
    capture.finish().await
}
