//! What the page says, in the languages it knows.

/// The words of one language. `{who}`, `{host}` and `{when}` are filled in.
#[derive(Debug)]
pub(super) struct Words {
    /// As `Accept-Language` names it.
    pub(super) lang: &'static str,
    pub(super) from_contact: &'static str,
    pub(super) to_host: &'static str,
    pub(super) reset: &'static str,
    pub(super) what_it_is: &'static str,
    pub(super) gone: &'static str,
    pub(super) gone_text: &'static str,
    pub(super) step_app: &'static str,
    pub(super) step_open: &'static str,
    pub(super) open: &'static str,
    pub(super) step_account: &'static str,
    pub(super) step_contact: &'static str,
    pub(super) or_here: &'static str,
    pub(super) name: &'static str,
    pub(super) password: &'static str,
    pub(super) again: &'static str,
    pub(super) make: &'static str,
    pub(super) set: &'static str,
    pub(super) camera: &'static str,
    pub(super) until: &'static str,
    pub(super) made: &'static str,
    pub(super) made_text: &'static str,
    pub(super) was_set: &'static str,
    pub(super) differ: &'static str,
    pub(super) taken: &'static str,
    pub(super) bad_name: &'static str,
    pub(super) bad_password: &'static str,
    pub(super) failed: &'static str,
}

const ENGLISH: Words = Words {
    lang: "en",
    from_contact: "{who} invites you to chat",
    to_host: "You are invited to {host}",
    reset: "A new password for {who}",
    what_it_is: "This is an invitation to XMPP, chat between many servers with an app of your choice.",
    gone: "This invitation is not good any more",
    gone_text: "It was used already, or its time is over. Ask for another one.",
    step_app: "Get an app, such as",
    step_open: "Open the invitation in it:",
    open: "Open the invitation",
    step_account: "Choose a name and a password in the app. That is all.",
    step_contact: "You find each other among your contacts. That is all.",
    or_here: "Or make the account here",
    name: "Name",
    password: "Password",
    again: "The password again",
    make: "Make the account",
    set: "Set the password",
    camera: "To go on with a phone, point its camera here:",
    until: "Good until {when}.",
    made: "Your account is {who}",
    made_text: "Log in with it in the app.",
    was_set: "The password of {who} is set",
    differ: "The two passwords differ.",
    taken: "This name is taken.",
    bad_name: "This name cannot be used.",
    bad_password: "The password must be longer, and not the name.",
    failed: "That did not work. Try again later.",
};

const GERMAN: Words = Words {
    lang: "de",
    from_contact: "{who} lädt dich zum Chatten ein",
    to_host: "Du bist zu {host} eingeladen",
    reset: "Ein neues Passwort für {who}",
    what_it_is: "Dies ist eine Einladung zu XMPP, Chat zwischen vielen Servern mit einer App deiner Wahl.",
    gone: "Diese Einladung gilt nicht mehr",
    gone_text: "Sie wurde schon benutzt, oder ihre Zeit ist um. Bitte um eine neue.",
    step_app: "Hol dir eine App, zum Beispiel",
    step_open: "Öffne darin die Einladung:",
    open: "Einladung öffnen",
    step_account: "Wähle in der App einen Namen und ein Passwort. Das ist alles.",
    step_contact: "Ihr findet euch unter euren Kontakten. Das ist alles.",
    or_here: "Oder lege das Konto hier an",
    name: "Name",
    password: "Passwort",
    again: "Noch einmal das Passwort",
    make: "Konto anlegen",
    set: "Passwort setzen",
    camera: "Um mit einem Telefon weiterzumachen, richte seine Kamera hierhin:",
    until: "Gilt bis {when}.",
    made: "Dein Konto ist {who}",
    made_text: "Melde dich damit in der App an.",
    was_set: "Das Passwort von {who} ist gesetzt",
    differ: "Die beiden Passwörter sind verschieden.",
    taken: "Diesen Namen hat schon jemand.",
    bad_name: "Dieser Name geht nicht.",
    bad_password: "Das Passwort muss länger sein und darf nicht der Name sein.",
    failed: "Das hat nicht geklappt. Versuche es später noch einmal.",
};

const FRENCH: Words = Words {
    lang: "fr",
    from_contact: "{who} vous invite à discuter",
    to_host: "Vous êtes invité à rejoindre {host}",
    reset: "Un nouveau mot de passe pour {who}",
    what_it_is: "Ceci est une invitation à XMPP, la messagerie entre de nombreux serveurs, avec l’application de votre choix.",
    gone: "Cette invitation n’est plus valable",
    gone_text: "Elle a déjà servi, ou son temps est passé. Demandez-en une autre.",
    step_app: "Installez une application, par exemple",
    step_open: "Ouvrez-y l’invitation :",
    open: "Ouvrir l’invitation",
    step_account: "Choisissez un nom et un mot de passe dans l’application. C’est tout.",
    step_contact: "Vous vous retrouvez parmi vos contacts. C’est tout.",
    or_here: "Ou créez le compte ici",
    name: "Nom",
    password: "Mot de passe",
    again: "Le mot de passe encore une fois",
    make: "Créer le compte",
    set: "Changer le mot de passe",
    camera: "Pour continuer avec un téléphone, pointez son appareil photo ici :",
    until: "Valable jusqu’au {when}.",
    made: "Votre compte est {who}",
    made_text: "Connectez-vous avec lui dans l’application.",
    was_set: "Le mot de passe de {who} est changé",
    differ: "Les deux mots de passe sont différents.",
    taken: "Ce nom est déjà pris.",
    bad_name: "Ce nom ne peut pas servir.",
    bad_password: "Le mot de passe doit être plus long, et ne pas être le nom.",
    failed: "Cela n’a pas marché. Réessayez plus tard.",
};

const SPANISH: Words = Words {
    lang: "es",
    from_contact: "{who} te invita a chatear",
    to_host: "Tienes una invitación a {host}",
    reset: "Una nueva contraseña para {who}",
    what_it_is: "Esta es una invitación a XMPP, chat entre muchos servidores con la aplicación que quieras.",
    gone: "Esta invitación ya no vale",
    gone_text: "Ya se ha usado, o ha pasado su tiempo. Pide otra.",
    step_app: "Instala una aplicación, por ejemplo",
    step_open: "Abre la invitación en ella:",
    open: "Abrir la invitación",
    step_account: "Elige un nombre y una contraseña en la aplicación. Eso es todo.",
    step_contact: "Os encontraréis entre vuestros contactos. Eso es todo.",
    or_here: "O crea la cuenta aquí",
    name: "Nombre",
    password: "Contraseña",
    again: "La contraseña otra vez",
    make: "Crear la cuenta",
    set: "Cambiar la contraseña",
    camera: "Para seguir con un teléfono, apunta aquí su cámara:",
    until: "Vale hasta el {when}.",
    made: "Tu cuenta es {who}",
    made_text: "Entra con ella en la aplicación.",
    was_set: "La contraseña de {who} está cambiada",
    differ: "Las dos contraseñas son distintas.",
    taken: "Este nombre ya está ocupado.",
    bad_name: "Este nombre no se puede usar.",
    bad_password: "La contraseña tiene que ser más larga, y no ser el nombre.",
    failed: "No ha funcionado. Inténtalo más tarde.",
};

const ALL: [&Words; 4] = [&ENGLISH, &GERMAN, &FRENCH, &SPANISH];

impl Words {
    /// Those a browser wants most (RFC 9110 §12.5.4); English if none of them is there.
    pub(super) fn wanted(accepted: Option<&str>) -> &'static Words {
        let mut best: Option<(u32, &'static Words)> = None;
        for range in accepted.unwrap_or_default().split(',').take(20) {
            let (tag, weight) = match range.split_once(';') {
                Some((tag, weight)) => (tag.trim(), weight),
                None => (range.trim(), "q=1"),
            };
            let language = tag.split('-').next().unwrap_or_default();
            let known = ALL
                .into_iter()
                .find(|words| words.lang.eq_ignore_ascii_case(language));
            let weight = weight.trim().strip_prefix("q=");
            let weight = weight
                .and_then(|text| text.parse::<f32>().ok())
                .unwrap_or(0.0);
            let weight = (weight.clamp(0.0, 1.0) * 1_000.0) as u32;
            if let Some(words) = known
                && weight > best.map_or(0, |(most, _)| most)
            {
                best = Some((weight, words));
            }
        }
        best.map_or(&ENGLISH, |(_, words)| words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_the_language_it_wants_most() {
        for (accepted, lang) in [
            (None, "en"),
            (Some(""), "en"),
            (Some("de"), "de"),
            (Some("de-CH, en;q=0.5"), "de"),
            (Some("en;q=0.5, fr;q=0.9"), "fr"),
            (Some("ja, ES-mx;q=0.1"), "es"),
            (Some("de;q=0, ja"), "en"),
            (Some("de;q=x;;,,-"), "en"),
        ] {
            assert_eq!(Words::wanted(accepted).lang, lang, "{accepted:?}");
        }
    }
}
