//! A TCP proxy that cuts the connections it carries.

use std::{io::Write, net::SocketAddr, thread, time::Duration};

use everwire_testkit::{ChaosProxy, Cut, Plan};
use tokio::sync::mpsc;

const USAGE: &str = "\
A TCP proxy that cuts the connections it carries, at bytes and in ways that a seed decides.

  chaos-proxy TARGET [OPTION VALUE]…

  TARGET          the server's address, such as 127.0.0.1:9001
  --listen ADDR   where to listen, 127.0.0.1:0 unless set
  --seed N        decides what becomes of each connection, 1 unless set
  --cuts N        cuts to make before it is calm, all unless set; 0 for a proxy that cuts by order only
  --bytes N       a connection is cut behind at most so many bytes in one direction, 20000 unless set
  --within MS     or at this age, 2000 unless set
  --hush MS       how long connections that are cut in silence are kept, 10000 unless set
  --kinds A,B,…   close, reset: both ends see it; client, server: that end sees a reset and the other
                  nothing; hole: neither sees anything; up, down: what is sent in this direction
                  vanishes, the other goes on. All of them unless set

The first line on stdout is the address it listens at; then comes a line for each connection that is
cut, such as `cut 3 reset connection 5 up 1200 down 340`. It obeys the lines `cut KIND` (every
connection that is open) and `calm` (cut nothing by itself any more) on stdin, and ends when that
does, with the line `carried 6 cut 3 seed 1`.
";

fn main() {
    let (target, listen, plan) = match parse(std::env::args().skip(1)) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprint!("{error}\n\n{USAGE}");
            std::process::exit(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let seed = plan.seed;
    let ran = runtime.and_then(|runtime| runtime.block_on(run(target, listen, plan)));
    match ran {
        Ok(tally) => say(&format!("carried {} cut {} seed {seed}", tally.connections, tally.cuts)),
        Err(error) => {
            eprintln!("chaos-proxy: {listen}: {error}");
            std::process::exit(1);
        }
    }
}

async fn run(
    target: SocketAddr,
    listen: SocketAddr,
    plan: Plan,
) -> std::io::Result<everwire_testkit::Tally> {
    let (proxy, mut cuts) = ChaosProxy::start(listen, target, plan).await?;
    say(&proxy.addr().to_string());
    let mut orders = orders();
    loop {
        tokio::select! {
            Some(it) = cuts.recv() => {
                let (up, down) = it.passed;
                let (number, cut, connection) = (it.number, it.cut, it.connection);
                say(&format!("cut {number} {cut} connection {connection} up {up} down {down}"));
            }
            order = orders.recv() => match order.as_deref().map(str::trim) {
                None => return Ok(proxy.tally()),
                Some("calm") => proxy.calm(),
                Some(order) => match order.strip_prefix("cut ").map(str::parse) {
                    Some(Ok(cut)) => proxy.cut(cut),
                    Some(Err(error)) => eprintln!("chaos-proxy: {error}"),
                    None => eprintln!("chaos-proxy: no order is called {order:?}"),
                },
            },
        }
    }
}

/// Returns the lines of stdin.
fn orders() -> mpsc::UnboundedReceiver<String> {
    let (sender, orders) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            sender.send(line).ok();
        }
    });
    orders
}

/// Prints a line at once; nobody need read it.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).ok();
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<(SocketAddr, SocketAddr, Plan), String> {
    let mut target = None;
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut plan = Plan::default();
    while let Some(arg) = args.next() {
        if !arg.starts_with("--") {
            target = Some(address(&arg)?);
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{arg} needs a number, not {value:?}"));
        match arg.as_str() {
            "--listen" => listen = address(&value)?,
            "--seed" => plan.seed = number()?,
            "--cuts" => plan.cuts = Some(number()?),
            "--bytes" => plan.bytes = number()?,
            "--within" => plan.within = Duration::from_millis(number()?),
            "--hush" => plan.hush = Duration::from_millis(number()?),
            "--kinds" => {
                plan.kinds = value.split(',').map(str::parse::<Cut>).collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("no option is called {arg}")),
        }
    }
    let target = target.ok_or("the server's address is missing")?;
    Ok((target, listen, plan))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected an address such as 127.0.0.1:9001, not {text:?}"))
}
