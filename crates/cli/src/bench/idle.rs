//! `bench idle`: connections that are held open, and what they cost.

use super::{
    opening,
    quiet::{Log, MayEnd, Quiet},
    stage::Post,
    tally::Tally,
};

/// One thread's part.
pub(super) async fn run(post: Post) -> Tally {
    let (log, may_end) = (Log::default(), MayEnd::default());
    let mut tally = Tally::default();
    let senders =
        opening::open(&post, &mut tally, |_| Quiet { log: log.clone(), may_end: may_end.clone() })
            .await;
    if post.run().await.is_some() {
        post.stop().await;
    }
    post.close().await;
    may_end.set();
    opening::close(senders).await;
    tally += log.take();
    tally
}
