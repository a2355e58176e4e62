//! JSON, with decode errors apart from transport errors.
#![cfg(feature = "json")]

use std::{error::Error, fmt};

use everwire_proto::SendError;

/// A value could not be turned into JSON or back, or could not be sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// The JSON is at fault. The connection goes on.
    Json(serde_json::Error),
    /// The connection is at fault.
    Send(SendError),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not the JSON that was expected: {error}"),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl Error for JsonError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::Send(error) => Some(error),
        }
    }
}
