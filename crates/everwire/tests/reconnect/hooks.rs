//! Providers and the hook of new connections.

use super::*;

#[tokio::test]
async fn a_provider_that_fails_panics_or_hangs_is_a_failed_attempt() {
    let (_server, addr) = echo_server("127.0.0.1:0").await;
    let notes = Notes::default();
    let lasts = notes.clone();
    let client = builder("ws://unused.test/").provider_timeout(Duration::from_millis(50));
    let client = client.url(move |info| {
        if let Some(last) = &info.last {
            lasts.add(last.to_string());
        }
        let addr = addr.clone();
        async move {
            match info.number {
                1 => Err("no idea".into()),
                2 => panic!("as told"),
                3 => std::future::pending().await,
                4 => Ok("gopher://example.test/".into()),
                _ => Ok(format!("ws://{addr}/")),
            }
        }
    });
    soon(client.start().open()).await.unwrap();
    let said = notes.all();
    let expected = ["no idea", "it panicked", "not done within 50ms", "gopher"];
    assert_eq!(said.len(), 4);
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with("provider of urls failed: ") && said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn trap_25_the_hook_comes_before_what_waited() {
    let (_server, url, notes) = noting().await;
    let client = builder(&url).while_down(WhileDown::Queue { bytes: 1 << 20 });
    let all_wait = Arc::new(Notify::new());
    let waiting = all_wait.clone();
    let client = client.on_connect(move |ws, generation| {
        let waiting = waiting.clone();
        async move {
            waiting.notified().await;
            ws.send(format!("subscribe {generation}")).await?;
            Ok(ws)
        }
    });
    let client = client.start();
    for n in 0..100 {
        assert_eq!(client.send(format!("{n}")).await, Ok(Sent::Queued));
    }
    all_wait.notify_one();
    soon(client.open()).await.unwrap();
    client.send("last").await.unwrap();
    let received = notes.until(102).await;
    let mut expected = vec!["subscribe 1".to_owned()];
    expected.extend((0..100).map(|n| n.to_string()));
    expected.push("last".into());
    assert_eq!(received, expected);
    assert_eq!((client.tally().handed, client.tally().queued), (101, 0));
}

#[tokio::test]
async fn a_hook_that_fails_is_a_failed_attempt() {
    let (_server, url, received) = noting().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let notes = Notes::default();
    let hook = {
        let calls = calls.clone();
        move |ws: WebSocket, _| {
            let n = calls.fetch_add(1, Ordering::Relaxed);
            async move {
                match n {
                    0 => Err("not welcome".into()),
                    1 => panic!("as told"),
                    2 => std::future::pending().await,
                    _ => Ok(ws),
                }
            }
        }
    };
    let client = builder(&url).on_connect(hook).on_connect_timeout(Duration::from_millis(100));
    let client = audited(client, &notes).start();
    assert_eq!(soon(client.open()).await.unwrap(), 1);
    let expected = ["attempt 1", "attempt 2", "attempt 3", "attempt 4", "open, connection 1"];
    assert_eq!(notes.all(), expected);
    let goodbyes = received.until(3).await;
    assert!(goodbyes.iter().all(|it| it.starts_with("received 1001")), "{goodbyes:?}");
}
