//! What it does when a connection ends.

use super::*;

#[tokio::test]
async fn advice_in_a_close_reason_is_obeyed() {
    let advice = open_with(&close_frame(1012, "retry=250000;spread=50000"));
    let (url, _) = script(vec![advice]).await;
    let client = builder(&url).start();
    let mut states = client.states();
    let delay = soon(async {
        loop {
            if let Some(State::Connecting { attempt: 2, delay, .. }) = states.next().await {
                return delay;
            }
        }
    })
    .await;
    assert!((250..=300).contains(&delay.as_secs()), "{delay:?}");
    // A network that came back changes nothing about what the server asked for.
    client.wake();
    client.pause();
    soon(async { while !matches!(states.next().await, Some(State::Waiting)) {} }).await;
    client.wake();
    let state = soon(states.next()).await.unwrap();
    let State::Connecting { delay, .. } = state else { panic!("{state}") };
    assert!((240..=300).contains(&delay.as_secs()), "{delay:?}");
}

#[tokio::test]
async fn a_server_that_is_done_with_us_ends_it() {
    let (stop, states) = stops(vec![open_with(&close_frame(1000, "that was all"))]).await;
    assert_eq!(states, ["attempt 1", "open, connection 1", "stopped"]);
    let Stop::Ended(closure) = stop else { panic!("{stop}") };
    assert_eq!((&closure.cause, closure.reason()), (&Cause::PeerClosed, "that was all"));
}

#[tokio::test]
async fn messages_carry_the_number_of_their_connection() {
    let frames = |text: &[u8]| [&[0x81, text.len() as u8], text].concat();
    let first = [frames(b"a"), frames(b"b"), close_frame(1001, "")].concat();
    let (url, _) = script(vec![open_with(&first), open_with(&frames(b"c"))]).await;
    let mut client = builder(&url).start();
    let mut states = client.states();
    soon(async { while states.next().await.unwrap().generation() != Some(2) {} }).await;
    // Nobody has read yet what the first connection received.
    let mut received = Vec::new();
    for _ in 0..3 {
        let incoming = soon(client.recv()).await.unwrap();
        received.push((incoming.generation, incoming.message.as_text().unwrap().to_owned()));
    }
    let expected = [(1, "a"), (1, "b"), (2, "c")].map(|(n, text)| (n, text.to_owned()));
    assert_eq!(received, expected);
    assert!(client.recv().now_or_never().is_none());
}

#[tokio::test]
async fn a_client_comes_back_when_its_server_does() {
    let (server, addr) = echo_server("127.0.0.1:0").await;
    let notes = Notes::default();
    let mut client = audited(builder(&format!("ws://{addr}/")), &notes).start();
    for round in 1..=3 {
        soon(async { while client.open().await.unwrap() < round {} }).await;
        assert_eq!(client.send("hello").await, Ok(Sent::Handed { generation: round }));
        let incoming = soon(client.recv()).await.unwrap();
        assert_eq!((incoming.generation, incoming.message.as_text()), (round, Some("hello")));
        for connection in server.registry().list() {
            let code = CloseCode::SERVICE_RESTART;
            server.registry().close(connection.id, code, "retry=1;spread=1").unwrap();
        }
        until(|| client.state().generation() != Some(round)).await;
    }
    assert!(!notes.all().concat().contains("ILLEGAL"), "{:?}", notes.all());
}
