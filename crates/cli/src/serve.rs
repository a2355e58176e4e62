//! `everwire serve`: the server.

use std::process::ExitCode;

use everwire::{Conn, Handler, Message, Server};

/// What `serve` was told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        env = "EVERWIRE_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    listen: String,
}

struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        conn.send(message).ok();
    }
}

/// Runs the server to its end.
pub(crate) fn run(args: Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("everwire: cannot start: {error}");
            return ExitCode::from(2);
        }
    };
    runtime.block_on(async {
        match Server::builder().bind(args.listen).push("/echo", |_| Echo).start().await {
            Ok(server) => {
                println!("listening on http://{}/", server.addrs()[0]);
                std::future::pending().await
            }
            Err(error) => {
                eprintln!("everwire: {error}");
                ExitCode::from(2)
            }
        }
    })
}
