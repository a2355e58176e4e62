//! Which extensions a server takes: a connection of its own, on which nothing is sent but a Close.

use everwire_proto::handshake::Extension;

use super::{
    fault::Fault, line::Line, reach::Way, report::Extensions, setup::Setup, upgrade::Upgrade,
};

impl Setup {
    /// Offers permessage-deflate and sees what the server says to it.
    ///
    /// # Errors
    /// The connection that opened without the offer does not open with it.
    pub(super) async fn extensions(&self) -> Result<Extensions, Fault> {
        let deflate = Extension::new("permessage-deflate").expect("it is a token");
        let offered = vec![deflate.to_string()];
        let mut io = self.reach(&mut Way::default()).await?;
        let offer = [deflate];
        let result = self.upgrade(&mut io, &offer, &mut Upgrade::default()).await;
        let upgraded = result.map_err(|mut fault| {
            // Without it all went well.
            fault.came += "; to an offer of permessage-deflate";
            fault
        })?;
        let accepted = upgraded.agreed.extensions.iter().map(ToString::to_string).collect();
        Line::new(io, upgraded.early).leave().await;
        Ok(Extensions { offered, accepted })
    }

    /// Opens another connection like the first.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) async fn open(&self) -> Result<Line, Fault> {
        let mut io = self.reach(&mut Way::default()).await?;
        let upgraded = self.upgrade(&mut io, &[], &mut Upgrade::default()).await?;
        Ok(Line::new(io, upgraded.early))
    }
}
