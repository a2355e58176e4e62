//! What the registry adds up for metrics.

mod common;

use std::time::Duration;

use common::{close, connect, soon, until};
use everwire::{SendError, Server, WebSocket};
use tokio::sync::oneshot;

#[tokio::test]
async fn a_full_send_queue_is_shown_until_it_drains() {
    let (filled, is_filled) = oneshot::channel();
    let filled = std::sync::Mutex::new(Some(filled));
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .pull("/", move |mut ws: WebSocket| {
            let filled = filled.lock().unwrap().take().unwrap();
            async move {
                // The socket takes some of it before the queue stays full.
                loop {
                    match ws.try_send(vec![0; 64 * 1024]) {
                        Ok(()) => {}
                        Err(SendError::Full { .. }) => {
                            tokio::time::sleep(Duration::from_millis(500)).await;
                            if ws.try_send("more").is_err() {
                                break;
                            }
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                filled.send(()).unwrap();
                while ws.recv().await.is_some() {}
            }
        })
        .start()
        .await
        .unwrap();
    let mut peer = connect(server.local_addr().unwrap(), "/").await;
    soon(is_filled).await.unwrap();
    let totals = server.registry().totals();
    assert_eq!(totals.full_queues, 1);
    assert!(totals.queued_bytes >= 1 << 20, "{totals:?}");
    assert_eq!(server.registry().list()[0].queued_bytes as u64, totals.queued_bytes);
    peer.write(&close(4000)).await;
    while peer.read().await.is_some() {}
    until(|| server.registry().is_empty()).await;
    let totals = server.registry().totals();
    assert_eq!((totals.full_queues, totals.queued_bytes), (0, 0));
    assert_eq!(totals.codes, [(4000, 1)].into());
}
