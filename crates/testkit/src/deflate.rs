//! Compression between two ends.

use std::cell::RefCell;

use everwire_proto::{
    Codecs, Config, Connection, Role,
    handshake::{AcceptOptions, ClientHandshake, ClientRequest, ServerHandshake},
};

thread_local! {
    static CODECS: RefCell<Codecs> = RefCell::new(Codecs::new(1));
}

/// Lends the codecs of the thread.
pub fn lend_codecs(user: &mut dyn FnMut(&mut Codecs)) {
    CODECS.with_borrow_mut(user);
}

/// Does the part of an opening handshake that is about compression, if both ends ask for it.
///
/// # Panics
/// If the two ends cannot agree.
pub fn agree_on_deflate(connection: &mut Connection, peer: &Config) {
    let (Some(own), Some(peer)) = (connection.config().deflate, peer.deflate) else { return };
    let (client, server) = match connection.role() {
        Role::Client => (own, peer),
        Role::Server => (peer, own),
    };
    let request = ClientRequest::new("ws://localhost/").expect("a URL").extension(client.offer());
    let handshake = ClientHandshake::new(&request, [7; 16]).expect("a good request");
    let asked = ServerHandshake::verify(handshake.request()).expect("a good request");
    let (answer, of_server) = server.accept(asked.extensions()).expect("a good offer");
    let options = AcceptOptions { extensions: vec![answer], ..AcceptOptions::default() };
    let response = asked.accept(options).expect("an answer to the offer");
    let agreed = handshake.verify(&response).expect("a good answer");
    let of_client = client.agree(&agreed).expect("a good answer").expect("an answer");
    let params = match connection.role() {
        Role::Client => of_client,
        Role::Server => of_server,
    };
    connection.set_deflate(params, lend_codecs);
}
