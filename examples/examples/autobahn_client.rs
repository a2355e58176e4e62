//! An echo client for the Autobahn test suite, which is the measure of RFC 6455.
//!
//! `conformance/autobahn/run client 0 -- target/release/examples/autobahn_client` runs it; the
//! suite's address is the last argument.

use std::{error::Error, time::Duration};

use everwire::{Client, Config, WebSocket, dial::ProxyConfig};

const AGENT: &str = "everwire";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().next_back().filter(|arg| arg.contains("://"));
    let url = url.ok_or("usage: autobahn_client ws://HOST:PORT")?;
    let url = url.trim_end_matches('/');
    let n_cases = case_count(url).await?;
    for case in 1..=n_cases {
        match connect(&format!("{url}/runCase?case={case}&agent={AGENT}")).await {
            Ok(ws) => echo(ws).await,
            // The next case may fare better.
            Err(error) => eprintln!("case {case}: {error}"),
        }
    }
    let ws = connect(&format!("{url}/updateReports?agent={AGENT}")).await?;
    ws.closed().await;
    Ok(())
}

async fn case_count(url: &str) -> Result<u32, Box<dyn Error>> {
    let mut ws = connect(&format!("{url}/getCaseCount")).await?;
    let message = ws.recv().await.ok_or("the suite does not say how many cases there are")?;
    let count = message.as_text().ok_or("the number of cases is not a text")?.parse()?;
    ws.closed().await;
    Ok(count)
}

async fn connect(url: &str) -> Result<WebSocket, Box<dyn Error>> {
    let mut config = Config::default();
    // Sections 9 send up to 16 MiB; sections 2 and 5 send control frames in rows.
    config.limits.message = 16 << 20;
    config.limits.control_rate = None;
    // The suite writes reports for some time before it answers.
    let client = Client::new(url)?.proxy(ProxyConfig::Direct).config(config);
    Ok(client.connect_timeout(Duration::from_secs(60)).connect().await?)
}

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
    ws.closed().await;
}
