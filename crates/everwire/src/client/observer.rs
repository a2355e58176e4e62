//! Watching a client's connections: for logs and for `-v`.

use std::sync::Arc;

use everwire_proto::{FrameLine, Observer};
use http::{Request, Response};

use crate::dial::Target;

/// Sees what a [`Client`](crate::Client) exchanges, on all its connections.
///
/// The methods are called in the middle of the work and must not block. Header values that are
/// secrets are [sensitive](http::HeaderValue::is_sensitive): do not show them. A closure that takes
/// a [`FrameLine`] is an observer of frames.
///
/// # Examples
/// ```
/// use everwire::{Client, ClientObserver, FrameLine, dial::Target};
/// use http::{Request, Response};
///
/// struct Log;
///
/// impl ClientObserver for Log {
///     fn request(&self, target: &Target, request: &Request<()>) {
///         eprintln!("> {} {target}", request.method());
///     }
///
///     fn response(&self, response: &Response<()>) {
///         eprintln!("< {}", response.status());
///     }
///
///     fn frame(&self, frame: FrameLine<'_>) {
///         eprintln!("{frame}");
///     }
/// }
///
/// let client = Client::new("wss://example.com/")?.observer(Log);
/// # Ok::<(), everwire::dial::UrlError>(())
/// ```
pub trait ClientObserver: Send + Sync + 'static {
    /// Is called with each request, before it is sent.
    fn request(&self, target: &Target, request: &Request<()>) {
        let _ = (target, request);
    }

    /// Is called with the head of each response, interim ones included.
    fn response(&self, response: &Response<()>) {
        let _ = response;
    }

    /// Is called for each frame that was received or queued.
    fn frame(&self, frame: FrameLine<'_>);
}

impl<F: Fn(FrameLine<'_>) + Send + Sync + 'static> ClientObserver for F {
    fn frame(&self, frame: FrameLine<'_>) {
        self(frame);
    }
}

/// The observer of one connection's frames.
pub(super) struct Frames(pub(super) Arc<dyn ClientObserver>);

impl Observer for Frames {
    fn handle_frame(&mut self, frame: FrameLine<'_>) {
        self.0.frame(frame);
    }
}
