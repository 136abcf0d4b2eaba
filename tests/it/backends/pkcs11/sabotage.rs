//! What others may do to a token behind our back, and what a crash leaves: nothing of it signs, nothing that is not
//! ours is touched.

use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use jwksd::backend::BackendError;
use jwksd::backend::pkcs11::{Fault, Gate, Token};
use jwksd::backend::{Destroyed, Generated, Input};
use jwksd::ids::{Handle, Label};
use jwksd::jose::alg::{Algorithm, KeySpec};

use super::super::label;
use super::spec;
use crate::support::tokens::{SoftToken, given};

#[test]
fn nothing_that_was_done_to_a_key_makes_it_sign_wrongly() {
    SoftToken::softhsm().in_child("backends::pkcs11::sabotage::keys_that_are_not_what_was_published");
}

#[test]
fn what_a_crash_leaves_is_cleared_and_what_others_own_is_not() {
    SoftToken::softhsm().in_child("backends::pkcs11::sabotage::remains_and_strangers");
}

/// The token as we see it, and as somebody else with the PIN does.
struct Site {
    token: Token,
    other: Session,
}

const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

impl Site {
    fn new() -> Self {
        let (settings, pin, dir) = given();
        let token = Gate::new(&dir.join("locks")).unwrap().open(&settings, &pin).unwrap();
        let module = Pkcs11::new(&settings.module).unwrap();
        let slots = module.get_slots_with_token().unwrap();
        let slot = slots.into_iter().find(|slot| slot.id() == token.facts().slot).unwrap();
        Self { other: module.open_rw_session(slot).unwrap(), token }
    }

    /// Makes a P-256 pair with any CKA_ID and label.
    fn make(&self, id: &[u8], label: &str, extractable: bool) -> (ObjectHandle, ObjectHandle) {
        let names = [Attribute::Token(true), Attribute::Id(id.to_vec()), Attribute::Label(label.as_bytes().to_vec())];
        let public = [Attribute::Private(false), Attribute::Verify(true), Attribute::EcParams(P256.to_vec())];
        let private = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(extractable),
            Attribute::Sign(true),
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
        ];
        let with = |own: &[Attribute]| [&names, own].concat();
        self.other.generate_key_pair(&Mechanism::EccKeyPairGen, &with(&public), &with(&private)).unwrap()
    }

    fn objects(&self, class: ObjectClass, id: &[u8]) -> Vec<ObjectHandle> {
        self.other.find_objects(&[Attribute::Class(class), Attribute::Id(id.to_vec())]).unwrap()
    }

    /// Private and public objects with that CKA_ID.
    fn count(&self, id: &[u8]) -> (usize, usize) {
        (self.objects(ObjectClass::PRIVATE_KEY, id).len(), self.objects(ObjectClass::PUBLIC_KEY, id).len())
    }

    fn sign(&self, handle: &Handle, spec: KeySpec) -> Result<(), Fault> {
        self.token.session()?.sign(handle, spec, Input::Message(b"input")).map(|_| ())
    }

    /// A key and its CKA_ID.
    fn key(&self, ring: &str) -> (Label, Generated, Vec<u8>) {
        let label = label(ring, 1);
        let made = self.token.generate(&label, es256()).unwrap();
        let hex = &made.handle.as_str()[..32];
        let id = (0..16).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect();
        (label, made, id)
    }
}

fn es256() -> KeySpec {
    spec(Algorithm::Es256)
}

fn mismatch<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
    match result {
        Err(Fault::Caller(BackendError::Mismatch(text))) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "run by others in a process of its own"]
fn keys_that_are_not_what_was_published() {
    let site = Site::new();

    // Another key under the same names: the handle knows which one was published.
    let (label, made, id) = site.key("swapped");
    assert_eq!(site.token.destroy(&made.handle), Ok(Destroyed::Done));
    site.make(&id, &label.to_string(), false);
    assert!(mismatch(site.sign(&made.handle, es256())).contains("is another key now"));
    assert!(mismatch(site.token.destroy(&made.handle)).contains("is another key now"));
    assert_eq!(site.count(&id), (1, 1));

    // The same names, but the key could leave the token.
    let (label, made, id) = site.key("extractable");
    site.token.destroy(&made.handle).unwrap();
    site.make(&id, &label.to_string(), true);
    assert!(mismatch(site.token.generate(&label, es256())).contains("CKA_EXTRACTABLE"));
    let weak = site.token.list().unwrap().into_iter().find(|found| found.label == label).unwrap();
    assert!(mismatch(site.sign(&weak.handle, es256())).contains("CKA_EXTRACTABLE"));
    assert_eq!(site.count(&id), (1, 1), "it may be somebody's: an operator decides");

    // Two complete keys: nobody can say which one is meant.
    let (label, made, id) = site.key("double");
    site.make(&id, &label.to_string(), false);
    assert!(mismatch(site.token.generate(&label, es256())).contains("2 complete keys"));
    assert!(mismatch(site.sign(&made.handle, es256())).contains("more than one private key"));
    assert_eq!(site.count(&id), (2, 2));

    // Another label on it.
    let (_, made, id) = site.key("renamed");
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        let renamed = Attribute::Label(b"it/main.other.v1".to_vec());
        site.other.update_attributes(site.objects(class, &id)[0], &[renamed]).unwrap();
    }
    assert!(mismatch(site.sign(&made.handle, es256())).contains("was not made for ES256"));

    // A private half that nothing published can be compared with.
    let (_, made, id) = site.key("halved");
    site.other.destroy_object(site.objects(ObjectClass::PUBLIC_KEY, &id)[0]).unwrap();
    assert!(mismatch(site.sign(&made.handle, es256())).contains("lost its public half"));

    // A session that knows the key already does not take half of it for its end.
    let (_, made, id) = site.key("known");
    let mut session = site.token.session().unwrap();
    session.prove(&made.handle, es256()).unwrap();
    site.other.destroy_object(site.objects(ObjectClass::PRIVATE_KEY, &id)[0]).unwrap();
    let signed = session.sign(&made.handle, es256(), Input::Message(b"input"));
    assert!(matches!(signed, Err(Fault::Broken(_))), "{signed:?}");
    // A new session has never seen it, and can say that it is not there.
    let signed = site.sign(&made.handle, es256());
    assert!(matches!(signed, Err(Fault::Caller(BackendError::NotFound(_)))), "{signed:?}");
}

#[test]
#[ignore = "run by others in a process of its own"]
fn remains_and_strangers() {
    let site = Site::new();
    let strangers = [("theirs", "somebody's key"), ("other", "other/main.es256.v1"), ("none", "")];
    for (id, label) in strangers {
        site.make(id.as_bytes(), label, false);
    }

    // Each half, and a public one without a CKA_ID, as SoftHSM leaves them.
    for (ring, lost) in [("public", ObjectClass::PRIVATE_KEY), ("private", ObjectClass::PUBLIC_KEY)] {
        let (label, first, id) = site.key(ring);
        site.other.destroy_object(site.objects(lost, &id)[0]).unwrap();
        let second = site.token.generate(&label, es256()).unwrap();
        assert_ne!(second.public, first.public);
        assert_eq!(site.count(&id), (1, 1), "{ring}");
        assert_eq!(site.sign(&second.handle, es256()), Ok(()));
        assert_eq!(site.token.generate(&label, es256()), Ok(second));
    }
    let nameless = label("nameless", 1);
    let (_, private) = site.make(b"", &nameless.to_string(), false);
    site.other.destroy_object(private).unwrap();
    let made = site.token.generate(&nameless, es256()).unwrap();
    let named = [Attribute::Label(nameless.to_string().into_bytes())];
    assert_eq!(site.other.find_objects(&named).unwrap().len(), 2);

    // Halves of two tries, which do not belong together.
    let (label, first, id) = site.key("mixed");
    let (public, private) = site.make(&id, &label.to_string(), false);
    let ours = site.objects(ObjectClass::PRIVATE_KEY, &id).into_iter().find(|handle| *handle != private).unwrap();
    site.other.destroy_object(ours).unwrap();
    site.other.destroy_object(public).unwrap();
    let second = site.token.generate(&label, es256()).unwrap();
    assert!(second.public != first.public && site.count(&id) == (1, 1));

    // Our CKA_ID under a stranger's name: neither used nor cleared.
    let (label, _, id) = site.key("taken");
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        let theirs = Attribute::Label(b"somebody's key".to_vec());
        site.other.update_attributes(site.objects(class, &id)[0], &[theirs]).unwrap();
    }
    let refused = site.token.generate(&label, es256());
    assert!(matches!(refused, Err(Fault::Caller(BackendError::Refused(_)))), "{refused:?}");
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let refused = site.token.destroy(&Handle::new(&hex));
    assert!(matches!(refused, Err(Fault::Caller(BackendError::Refused(_)))), "{refused:?}");
    assert_eq!(site.count(&id), (1, 1));

    let listed = site.token.list().unwrap();
    assert!(listed.iter().all(|found| found.label.installation.as_str() == "it"), "{listed:?}");
    assert_eq!(listed.len(), 4, "{listed:?}");
    site.token.destroy(&made.handle).unwrap();
    for (id, label) in strangers {
        assert_eq!(site.count(id.as_bytes()), (1, 1), "{label:?}");
    }
}
