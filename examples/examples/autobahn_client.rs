//! An echo client for the Autobahn test suite, which is the measure of RFC 6455.
//!
//! `conformance/autobahn/run client 0 -- target/release/examples/autobahn_client` runs it; the
//! suite's address is the last argument. With `shared` or `dedicated` before it, messages are
//! compressed.

use std::{error::Error, time::Duration};

use everwire::{
    Client, Config, Conn, DeflateConfig, DeflateMode, Handler, Message, dial::ProxyConfig,
};

const AGENT: &str = "everwire";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().next_back().filter(|arg| arg.contains("://"));
    let url = url.ok_or("usage: autobahn_client ws://HOST:PORT")?;
    let url = url.trim_end_matches('/');
    let n_cases = case_count(url).await?;
    for case in 1..=n_cases {
        let client = client(&format!("{url}/runCase?case={case}&agent={AGENT}"))?;
        match client.connect_handler(Echo).await {
            Ok(connection) => drop(connection.closed().await),
            // The next case may fare better.
            Err(error) => eprintln!("case {case}: {error}"),
        }
    }
    let ws = client(&format!("{url}/updateReports?agent={AGENT}"))?.connect().await?;
    ws.closed().await;
    Ok(())
}

async fn case_count(url: &str) -> Result<u32, Box<dyn Error>> {
    let mut ws = client(&format!("{url}/getCaseCount"))?.connect().await?;
    let message = ws.recv().await.ok_or("the suite does not say how many cases there are")?;
    let count = message.as_text().ok_or("the number of cases is not a text")?.parse()?;
    ws.closed().await;
    Ok(count)
}

/// Answers each message as it comes: what precedes a broken frame is answered before the connection
/// fails, which the suite wants to see.
struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        conn.send(message).ok();
    }
}

fn client(url: &str) -> Result<Client, Box<dyn Error>> {
    let mut config = Config::default();
    // Section 9 sends up to 16 MiB, and 4 MiB in frames of 64 bytes.
    config.limits.message = 16 << 20;
    config.limits.fragments = u32::MAX;
    // Sections 2 and 5 send control frames in rows.
    config.limits.control_rate = None;
    config.deflate = deflate();
    // The suite writes reports for some time before it answers.
    let patience = Duration::from_secs(60);
    Ok(Client::new(url)?.proxy(ProxyConfig::Direct).config(config).connect_timeout(patience))
}

fn deflate() -> Option<DeflateConfig> {
    let mode = match std::env::args().nth(1)?.as_str() {
        "shared" => DeflateMode::Shared,
        "dedicated" => DeflateMode::Dedicated,
        _ => return None,
    };
    let mut deflate = DeflateConfig::new(mode);
    // The suite begins with 16 bytes.
    deflate.threshold = 1;
    Some(deflate)
}
