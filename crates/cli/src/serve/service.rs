//! A function as an HTTP service.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{Request, request::Parts};
use hyper::body::Incoming;
use tower_service::Service;

use super::reply::Reply;

/// Answers by a function that looks at the head of a request and never waits.
#[derive(Clone, Debug)]
pub(super) struct Answer<F>(pub(super) F);

impl<F: Fn(&Parts) -> Reply> Service<Request<Incoming>> for Answer<F> {
    type Response = Reply;
    type Error = Infallible;
    type Future = Ready<Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        ready(Ok((self.0)(&request.into_parts().0)))
    }
}
