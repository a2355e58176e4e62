//! `everwire serve`: the server.

mod admin;
mod announce;
mod args;
mod chat;
mod count;
mod cut;
mod echo;
mod listen;
mod log;
mod notify;
mod origin;
mod page;
mod paths;
mod reply;
mod service;
mod signals;
mod site;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::anyhow;
use everwire::{CloseCode, Listener, Server, ServerBuilder, tls::ServerTls};

pub(crate) use self::args::Args;
use self::{
    announce::{Scheme, say},
    args::AdminAddr,
    cut::Cuts,
    listen::ListenAddr,
    notify::Notify,
    paths::Paths,
    signals::{Signal, Signals},
};

/// How often the certificate's files are looked at.
const TLS_WATCH: Duration = Duration::from_secs(10);

/// Runs the server to its end.
pub(crate) fn run(args: Args) -> ExitCode {
    match start(args) {
        Ok(code) => code,
        Err(error) => {
            writeln!(io::stderr(), "everwire: {error}").ok();
            ExitCode::from(2)
        }
    }
}

fn start(mut args: Args) -> anyhow::Result<ExitCode> {
    args.log.to_stderr();
    args.check(crate::descriptors::raise_limit())?;
    let inherited = Listener::systemd().map_err(|e| anyhow!("cannot use LISTEN_FDS: {e}"))?;
    if args.listen.is_empty() && inherited.is_empty() {
        args.listen.push(ListenAddr::default());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| anyhow!("cannot start: {error}"))?;
    runtime.block_on(serve(&args, inherited))
}

async fn serve(args: &Args, inherited: Vec<Listener>) -> anyhow::Result<ExitCode> {
    // Before anything is announced: whoever reads it may send a signal at once.
    let mut signals = Signals::new().map_err(|error| anyhow!("cannot handle signals: {error}"))?;
    let tls = args.tls.load()?;
    // They are there to show what a session survives.
    let (mut paths, cuts) = (Paths::default(), args.has_sessions().then(Cuts::default));
    let builder = builder(args, &mut paths, cuts.as_ref(), inherited, tls.clone())?;
    let server = builder.start().await?;
    if let Some(cuts) = cuts {
        cuts.set_registry(server.registry());
    }
    let admin = match args.admin.admin {
        AdminAddr::At(addr) => Some(admin::start(addr, &args.admin, &server, &paths).await?),
        AdminAddr::Off => None,
    };
    let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
    announce::started(&server, admin.as_ref(), scheme);
    let notify = Notify::from_env();
    notify.ready(&server);
    if let Some(tls) = tls.clone() {
        tokio::spawn(async move { tls.watch(TLS_WATCH).await });
    }
    tokio::select! {
        code = run_to_end(args, &server, tls.as_ref(), &mut signals, &notify) => code,
        never = notify.keep_watch(&server) => match never {},
        never = paths.count.run() => match never {},
    }
}

/// Serves until a signal comes, and shuts down.
async fn run_to_end(
    args: &Args,
    server: &Server,
    tls: Option<&ServerTls>,
    signals: &mut Signals,
    notify: &Notify,
) -> anyhow::Result<ExitCode> {
    let signal = wait_for_end(signals, tls, notify).await;
    args.listen.iter().for_each(ListenAddr::clean_up);
    notify.stopping(server, args.shutdown.drain_deadline.0);
    let notice = match signal {
        Signal::Terminate => args.shutdown.notice,
        Signal::Interrupt | Signal::HangUp => CloseCode::GOING_AWAY,
    };
    let drained = tokio::select! {
        drained = server.shutdown(args.shutdown.drain(notice)) => drained?,
        again = signals.next_end() => return Ok(again.exit_code()),
    };
    announce::drained(drained);
    Ok(ExitCode::SUCCESS)
}

/// Waits for a signal that ends the server.
async fn wait_for_end(signals: &mut Signals, tls: Option<&ServerTls>, notify: &Notify) -> Signal {
    // A server that was started from a terminal goes with it.
    let is_interactive = io::stdin().is_terminal();
    loop {
        match (signals.next().await, tls) {
            (Signal::HangUp, Some(tls)) => {
                notify.reloading();
                match tls.reload() {
                    Ok(()) => say("certificates reloaded"),
                    Err(error) => tracing::error!(
                        %error,
                        "certificates not reloaded, the old ones stay in use"
                    ),
                }
                notify.reloaded();
            }
            (Signal::HangUp, None) if !is_interactive => {
                notify.reloading();
                notify.reloaded();
            }
            (signal, _) => return signal,
        }
    }
}

fn builder(
    args: &Args,
    paths: &mut Paths,
    cuts: Option<&Cuts>,
    inherited: Vec<Listener>,
    tls: Option<ServerTls>,
) -> anyhow::Result<ServerBuilder> {
    let mut builder = Server::builder()
        .config(args.config())
        .origin(args.trust.origins())
        .trusted_proxies(args.trust.proxies()?)
        .http(site::service(cuts));
    if let Some(cuts) = cuts.cloned() {
        builder = builder.authorize(move |request| cuts.authorize(request));
    }
    builder = paths.add_to(builder, args);
    // A single thread is this one: system calls are cheaper in a process that has no other.
    if args.threads() > 1 {
        builder = builder.threads(args.threads());
    }
    if args.trust.proxy_protocol {
        builder = builder.proxy_protocol();
    }
    let [max, max_per_address] = args.max_connections();
    if let Some(max) = max {
        builder = builder.max_connections(max);
    }
    if let Some(max) = max_per_address {
        builder = builder.max_connections_per_address(max);
    }
    if let Some(tls) = tls {
        builder = builder.tls(tls);
    }
    builder = inherited.into_iter().fold(builder, ServerBuilder::listener);
    for addr in &args.listen {
        builder = addr.add_to(builder)?;
    }
    Ok(builder)
}
