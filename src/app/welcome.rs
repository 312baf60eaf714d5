//! What `dev` tells a person at a terminal.

use std::time::{Duration, Instant};

use serde_json::Value;

/// How long the workers get to register before it is told without them.
const REGISTERED_WITHIN: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(250);

/// Where things are.
pub struct Welcome {
    /// Base URL of the registry.
    pub url: String,
    /// Temporal's frontend, `host:port`.
    pub temporal: String,
    /// Port of Temporal's UI, when there is one.
    pub ui_port: Option<u16>,
}

impl Welcome {
    /// Tells it once these workers have registered: whoever reads it types the first command at once.
    pub async fn say(self, workers: &[&str]) {
        let within = Instant::now() + REGISTERED_WITHIN;
        let http = reqwest::Client::builder().no_proxy().timeout(REGISTERED_WITHIN).build();
        if let Ok(http) = http {
            for worker in workers {
                while !is_healthy(&http, &format!("{}/registry/workers/{worker}", self.url)).await
                    && Instant::now() < within
                {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        println!("\n  registry     {0}   (docs: {0}/docs)", self.url);
        println!("  temporal     {}", self.temporal);
        if let Some(port) = self.ui_port {
            println!("  temporal UI  http://127.0.0.1:{port}");
        }
        println!("  stop with Ctrl-C\n");
    }
}

async fn is_healthy(http: &reqwest::Client, url: &str) -> bool {
    let Ok(answer) = http.get(url).send().await else { return false };
    answer.json::<Value>().await.is_ok_and(|worker| worker["healthy"] == true)
}
