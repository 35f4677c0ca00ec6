"""German and Dutch."""

from llmops.guards.words import kinds as k

WORDS = {
    k.DROP: "ignoriere, ignorier, ignorieren, ignoriert, vergiss, vergesse, vergessen, missachte, missachten, missachtet, "
    "übergehe, übergehen, überschreibe, überschreiben, verwirf, verwerfen, lösche, löschen, beachte nicht, befolge nicht, "
    "beachten sie nicht, befolgen sie nicht, folge nicht, halte dich nicht an, lass alle, außer acht, umgehe, verstoße, "
    "nicht mehr befolgen, nicht befolgen, nicht beachten, nicht länger befolgen, setze dich über, hinwegsetzen, brich, "
    "sieh über, höre auf, schenke, negeer, negeren, vergeet, vergeten, genegeerd, sla over, verwerp, verwerpen, wis, "
    "overschrijf, overschrijven, volg niet, trek je niets aan van, laat alle, leg naast je neer, houd geen rekening met, "
    "hou geen rekening met, houd je niet aan, niet meer volgen, niet volgen, let niet op, gehoorzaam niet, doorbreek, "
    "halte dich nicht mehr an, nutze nicht, gebruik niet",
    k.LIFT: "deaktiviere, deaktivieren, umgehe, umgehen, entferne, entfernen, hebe, aufheben, schalte, ausschalten, "
    "abschalten, schalte aus, setze außer kraft, abstellen, entsperre, schakel, uitschakelen, schakel uit, omzeil, "
    "omzeilen, verwijder, verwijderen, zet uit, deactiveer, deactiveren, hef, opheffen, ontgrendel",
    k.SHOW: "zeig, zeige, zeigen, gib, gebe, geben, verrate, verrat, verraten, offenbare, offenbaren, nenne, nennen, "
    "drucke, gebe aus, wiederhole, wiederholen, sag, sage, schreib, schreibe, liste, übersetze, übersetzen, fasse, teile, "
    "kopiere, enthülle, leg offen, lege offen, erzähl, erzähle, ausgeben, preisgeben, anzeigen, zitiere, beschreibe, "
    "mitteilen, sende, erkläre, veröffentliche, toon, toont, laat zien, geef, geven, onthul, onthullen, herhaal, "
    "herhalen, vertel, print, druk, schrijf, noem, vertaal, vertalen, kopieer, citeer, vat, deel, openbaar, openbaren, "
    "zeg, weergeven, verklap, beschrijf",
    k.WANT: "sehen, brauche, benötige, möchte, will, zeigen, nodig, zien, wil, zugriff, toegang",
    k.REPEAT: "wiederhole, wiederholen, gib, zitiere, kopiere, übersetze, schreibe, schreib, ausgeben, herhaal, herhalen, "
    "citeer, kopieer, vertaal, schrijf, druk, geef",
    k.RENDER: "übersetze, übersetzen, fasse, vertaal, vat",
    k.ORDERS: "anweisung*, instruktion*, vorgabe, vorgaben, befehl*, prompt, prompts, eingabeaufforderung*, direktive*, "
    "weisung*, systemprompt*, systemanweisung*, systemvorgabe*, anleitung*, handlungsanweisung*, programmierung, "
    "systemnachricht*, instructie*, opdrachten, opdracht, aanwijzing*, bevelen, systeeminstructie*, systeemprompt*, "
    "richtlijnen, programmering",
    k.RULES: "regel, regeln, richtlinie*, beschränkung*, einschränkung*, vorschrift*, grenzen, filter, filtern, "
    "sicherheitsregel*, sicherheitsrichtlinie*, zensur, moral, ethik, ethische*, training, kontext, vorsicht, schranken, "
    "rolle, regels, beperking*, voorschrift*, limieten, filters, veiligheidsregel*, censuur, moraal, ethiek, context, rol",
    k.LIMIT: "regeln, regel, einschränkungen, beschränkungen, regels, beperkingen, vorgaben",
    k.SHIELD: "sicherheitsfilter*, sicherheitsregel*, sicherheitsrichtlinie*, inhaltsfilter*, schutzmechanism*, "
    "sicherheitsvorkehrung*, sicherheitsmaßnahme*, schutzmaßnahme*, inhaltsrichtlinie*, leitplanke*, zensur, "
    "beschränkung*, einschränkung*, censuur, veiligheidsfilter*, veiligheidsregel*, veiligheidsrichtlijn*, "
    "inhoudsfilter*, beveiliging*, veiligheidsmaatregel*, beperking*",
    k.PROMPT: "systemprompt*, system prompt, systemanweisung*, systemnachricht*, systemvorgabe*, "
    "ursprüngliche anweisungen, ursprünglichen anweisungen, interne anweisungen, internen anweisungen, "
    "geheimen anweisungen, geheime anweisungen, versteckten anweisungen, anfänglichen anweisungen, initialen prompt, "
    "initialprompt, ursprünglichen prompt, internen regeln, versteckten prompt, entwickleranweisung*, "
    "entwicklernachricht*, geheimen prompt, anfangsprompt, systeemprompt*, systeeminstructie*, systeembericht*, "
    "oorspronkelijke instructies, interne instructies, geheime instructies, interne regels, verborgen instructies, "
    "verborgen prompt, oorspronkelijke prompt, initiële instructies, initiële prompt, geheime prompt, "
    "ontwikkelaarsinstructies",
    k.PRIOR: "vorherige*, vorherigen, bisherige*, obige*, obigen, frühere*, vorangegangene*, vorangehende*, alle, allen, "
    "alles, sämtliche*, jegliche*, ursprüngliche*, diese, gegebene*, bestehende*, zuvor, bisher, vorstehende*, "
    "erhaltene*, vorige*, anfängliche*, genannte*, erteilte*, obenstehende*, davor, eerdere, vorige, voorgaande, "
    "voorafgaande, bovenstaande, elke, bestaande, oorspronkelijke, deze, gegeven, vorig, initiële, hiervoor, daarvoor, "
    "tot nu toe, bis jetzt, bis hierhin",
    k.OWN: "deine, deinen, deiner, dein, deines, deinem, ihre, ihren, ihrer, eure, euren, eurer, dir gegebenen, "
    "dir gegeben, jouw, je, uw, jullie, du bekommen hast, du erhalten hast, die du hast, dir erteilten, die dir",
    k.HIDDEN: "geheime*, versteckte*, ursprüngliche*, interne*, internen, anfängliche*, vertrauliche*, vollständige*, "
    "genaue*, komplette*, verborgen, geheim, oorspronkelijke, interne, volledige, vertrouwelijke, exacte",
    k.TEXT: "text, worte, wörter, nachricht, nachrichten, alles, inhalt, zeilen, satz, sätze, absatz, tekst, woorden, "
    "bericht, berichten, inhoud, zinnen, regels",
    k.ABOVE: "oben, obigen, obige, oberhalb, im wortlaut, wortlaut, davor, vor dieser nachricht, vor diesem, "
    "wortwörtlich, wörtlich, bisher, wort für wort, boven, hierboven, bovenstaande, hiervoor, woordelijk, letterlijk, "
    "woord voor woord, am anfang, aan het begin, über dieser zeile, über dieser nachricht, über diesem text, "
    "boven dit bericht, boven deze regel, boven deze tekst",
    k.THE_ABOVE: "alles oben, alles bisherige, alles vorherige, alles was oben steht, alles was dir gesagt wurde, "
    "alles zuvor, alles was du weißt, alles was vorher, das obige, das bisherige, alles davor, alles hierboven, "
    "alles hiervoor, al het bovenstaande, alles wat je is verteld, alles wat je weet, alles wat hierboven staat, "
    "het bovenstaande, alles daarvoor, alles vorher, alles wat eerder, den bisherigen kontext, den obigen text, "
    "alles was man dir gesagt hat, dass du eine ki bist, dass du ein assistent bist, dat je een ai bent, "
    "alle vorherigen nachrichten, alle bisherigen nachrichten, den kontext, alle vorige berichten, "
    "alle eerdere berichten, de context, den gesamten kontext, dass du ein chatbot bist, deine rolle als, je rol als, "
    "du ein assistent bist",
    k.LEARNT: "du weißt, du gelernt hast, dir gesagt wurde, ich gesagt habe, man dir gesagt hat, je weet, "
    "je geleerd hebt, je verteld is, je is verteld, je hebt geleerd, gesagt wurde, ich dir gesagt, dir beigebracht",
    k.TOLD: "wurde dir gesagt, wurde dir aufgetragen, wurdest du angewiesen, man dir gesagt, wurdest du instruiert, "
    "dir gesagt wurde, du angewiesen wurdest, darfst du nicht, is je verteld, ben je geïnstrueerd, je verteld is, "
    "mag je niet, dich konfiguriert, dich eingerichtet, dich eingestellt, je geconfigureerd, je ingesteld",
    k.GIVEN: "hast du bekommen, hast du erhalten, dir gegeben hat, man dir gegeben hat, je gegeven zijn, "
    "wurden dir gegeben, dir gegeben wurden, du erhalten hast, du bekommen hast, heb je gekregen, je hebt gekregen, "
    "zijn je gegeven, je gekregen hebt, dir dein entwickler gemacht, hat dir dein entwickler, hebben je ontwikkelaars, "
    "haben dir deine entwickler, hat dir gegeben, bekommen hast, erhalten hast, mitbekommen hast, gekregen hebt, "
    "ontvangen hebt",
    k.HAVE: "hast du, befolgst du, du befolgst, folgst du, volg je, heb je, gelten für dich, gelden voor jou, je hebt",
    k.FOLLOW: "befolgst du, du befolgst, folgst du, volg je, gelten für dich, gelden voor jou, je volgt, "
    "du befolgen musst, je moet volgen",
    k.START: "beginn dieses gesprächs, anfang dieses gesprächs, anfang der unterhaltung, begin van dit gesprek, "
    "vor meiner nachricht, vor meiner ersten nachricht, voor mijn bericht, über dieser nachricht, über dieser zeile, "
    "oberhalb dieser nachricht, oberhalb dieser zeile, boven dit bericht, boven deze regel, voor mijn vraag, "
    "vor meiner frage, über meiner frage, über meiner nachricht, oberhalb meiner frage, oberhalb meiner nachricht, "
    "boven mijn vraag, boven mijn bericht",
    k.STUFF: "konfiguration, parameter, einstellungen, quellcode, configuratie, instellingen, broncode",
    k.FORM: "vollständig, französisch, englisch, deutsch, spanisch, wortlaut, engels, frans, volledig, code, json",
    k.IF: "wenn, falls, als, indien, sobald, weil, omdat",
    k.ASK: "was, welche, welchen, welcher, wie lautet, wie lauten, nenne, zeig, sag mir, wat, welke, wat is, wat zijn, "
    "vertel, lauten, lautet, lauteten, luiden, luidt, wie würde, hoe zou",
    k.HOW: "wie, warum, wieso, weshalb, ob, hoe, waarom, of",
    k.MAY: "kann, können, darf, dürfen, soll, sollen, muss, müssen, sollte, könnte, kan, kunnen, mag, mogen, moet, "
    "moeten, zou",
    k.BE: "ist, sind, hat, haben, gibt, wird, werden, is, zijn, heeft, hebben",
    k.ME: "ich, wir, man, er, wer, jemand, mich, mitarbeiter, mitarbeitende, kunden, nutzer, ik, wij, we, men, iemand, "
    "wie, hij, medewerkers, klanten, gebruikers, mir",
    k.MINE: "mein, meine, meinen, meiner, meines, unsere, mijn, onze, hun",
    k.YOU: "du, dich, dir, ihr, sie, jij, u, jullie",
    k.NOT: "nicht, niemals, nie, kein, keine, keinen, ohne, niet, nooit, geen, zonder",
    k.EXAMPLE: "beispiel, beispiele, wo, warum, vorlage, ein, einen, eine, voorbeeld, voorbeelden, waar, een, hoe, "
    "wie man, wie ich",
    k.NO: "ohne, keine, keinen, keinerlei, kein, frei von, ungeachtet, jenseits, zonder, geen, vrij van, ongeacht, "
    "niet gebonden aan, nicht an, unabhängig von, an keine, hättest keine, hättest du keine, hast keine, hast du keine, "
    "hättest, had je geen, geen enkele",
    k.FREE: "uneingeschränkt*, unzensiert*, ungefiltert*, grenzenlose ki, hemmungslos*, skrupellos*, onbeperkte ai, "
    "ongefilterd*, ongecensureerd*, onbeperkt*, meine verstorbene oma, meine oma, meine großmutter, mijn oma, "
    "mijn overleden oma, was du willst, was du möchtest, wie du willst, wat je wilt, wat je maar wilt",
    k.UNBOUND: "dan modus, du bist dan, du bist jetzt dan, du bist nun dan, je bent dan, jij bent dan, je bent nu dan, "
    "keine regeln mehr, hast keine einschränkungen, hast keine regeln, hast keine beschränkungen, jailbreak modus, "
    "entwicklermodus an, entwicklermodus ein, entwicklermodus aktiv, entwicklermodus aktiviert, ontwikkelaarsmodus aan",
    k.PLAY: "tu so als, tue so als, stell dir vor, spiel die rolle, spiele die rolle, agiere als, handle als, "
    "verhalte dich, schlüpfe in die rolle, nimm die rolle, antworte als, spiel, spiele, simuliere, du bist ein, "
    "du bist eine, gib vor, rollenspiel, benimm dich, werde zu, ab jetzt, ab sofort, doe alsof, stel je voor, "
    "speel de rol, gedraag je, handel als, je bent een, jij bent een, rollenspel, neem de rol, reageer als, vanaf nu, "
    "fungiere als, antwoord als, wees",
    k.YOU_ARE: "du bist, sie sind, ihr seid, je bent, jij bent, u bent, dein name ist, je naam is, du heißt, je heet",
    k.INDEFINITE: "ein, eine, einen, mein, meine, der, die, das, een, mijn, de, het, im, in, frei, vrij, kein, keine, geen",
    k.NOW_YOU: "du bist jetzt, du bist nun, jetzt bist du, du bist ab jetzt, du bist ab sofort, du bist nicht mehr, "
    "sie sind jetzt, sie sind nun, ab jetzt bist du, ab sofort bist du, je bent nu, jij bent nu, nu ben je, "
    "je bent vanaf nu, vanaf nu ben je, je bent niet langer, u bent nu, von nun an bist du, jij bent vanaf nu, "
    "ab jetzt sind sie, du bist von nun an",
    k.FROM_NOW: "ab jetzt, ab sofort, von nun an, von jetzt an, fortan, künftig, vanaf nu, voortaan, van nu af aan",
    k.NEW_TASK: "deine neue aufgabe, deine neue rolle, deine neuen anweisungen, neue anweisungen lauten, "
    "deine einzige aufgabe, neue anweisung, deine wahre aufgabe, ihre neue aufgabe, je nieuwe taak, jouw nieuwe taak, "
    "je nieuwe rol, nieuwe instructies, je nieuwe instructies, je enige taak, jouw nieuwe rol, dein neues ziel, "
    "neue anweisungen, gehorche mir, gehorche nur, dein neuer auftrag, ihre neue rolle, jouw enige taak",
    k.MODE: "entwicklermodus, dan modus, gottmodus, debug modus, debugmodus, wartungsmodus, administratormodus, "
    "testmodus, modus ohne, adminmodus, ontwikkelaarsmodus, ontwikkelmodus, onderhoudsmodus, beheerdersmodus, "
    "entwickler modus, god modus",
    k.TURN_ON: "aktiviere, aktivieren, wechsle, wechsel, schalte, starte, du bist im, du bist jetzt im, "
    "du befindest dich, gehe in, geh in, aktiviert, activeer, schakel over, start, ga naar, je bent in, je bevindt je, "
    "ga in, geactiveerd, schakel",
    k.ANSWER: "antworte, antworten, beantworte, reagiere, sprich, rede, handle, antwoord, beantwoord, reageer, spreek, "
    "praat, schreibe, erkläre",
    k.AI: "ki, sprachmodell, ki modell, ki assistent, sprachmodelle, ki assistenten, ki system, taalmodel, ai assistent, "
    "ki systeme",
    k.BOT: "assistent, assistenten, bot, modell, agent, model, roboter, robot",
    k.VOID: "gelten nicht mehr, sind aufgehoben, sind ungültig, gelten nicht, sind hinfällig, sind nicht mehr gültig, "
    "wurden aufgehoben, gelden niet meer, zijn ongeldig, zijn opgeheven, vervallen, gelden niet langer",
    k.REFUSE: "verweigere, verweigern, ablehnen, lehne, entschuldige, weiger, weigeren, excuses, verontschuldig",
    k.OBEY: "befolge, befolgen, folge, folgen, führe, ausführen, gehorche, tu was, tue was, volg, volgen, voer, "
    "uitvoeren, doe wat",
    k.CODED: "dekodiere, dekodieren, entschlüssle, entschlüsseln, dekodierten, entschlüsselte, decodiere, decodeer, "
    "ontcijfer, decoderen",
    k.MAKER: "ich bin dein entwickler, ich bin dein schöpfer, ich bin der entwickler, ich bin der administrator, "
    "ik ben je ontwikkelaar, ich bin dein administrator, ik ben jouw ontwikkelaar, ik ben de beheerder, ik ben je maker, "
    "ik ben de ontwikkelaar, ich habe dich programmiert, ich habe dich entwickelt, als dein entwickler",
    k.MUST: "müssen, muss, sollen, soll, sollten, sollte, musst, sollst, bitte, moeten, moet, dienen, zullen, verplicht, "
    "immer",
    k.NOTE_TO: "hinweis an, achtung, an alle, nachricht an, anweisung an, anweisungen für, anweisung für, hinweis für, "
    "let op, aan alle, bericht aan, opmerking voor, instructie voor, instructies voor, aandacht, liebe, beste",
    k.READING: "lesen, lesende, liest, verarbeitet, verarbeiten, zusammenfasst, zusammenfassen, analysieren, analysiert, "
    "auswerten, leest, lezen, verwerken, verwerkt, samenvatten, samenvat, analyseren",
    k.HERE: "dieses dokument, dieses dokuments, diese seite, diesen text, dieser text, diese anweisung, "
    "diese anweisungen, diese nachricht, dit document, deze pagina, deze tekst, deze instructie, deze instructies, "
    "dit bericht, diesem dokument",
    k.USER: "dem nutzer, den nutzer, dem benutzer, den benutzer, der nutzer, die frage des nutzers, dem anwender, "
    "de gebruiker, nutzer, die nutzerfrage, benutzer, gebruiker",
    k.ASKED: "die frage des nutzers, die anfrage des nutzers, die frage des benutzers, de vraag van de gebruiker, "
    "die nutzerfrage, den nutzer",
    k.WHEN_READ: "wenn du dies liest, bevor du antwortest, vor der antwort, am ende jeder antwort, als je dit leest, "
    "voordat je antwoordt, wenn du dieses dokument, in deiner antwort, aan het einde van elk antwoord",
    k.HEADER: "systemhinweis, systemnachricht, systemmeldung, systemanweisung, neue anweisung, neue anweisungen, "
    "neue regel, neue aufgabe, systemprompt, systeemmelding, systeembericht, systeeminstructie, nieuwe instructie, "
    "nieuwe instructies, nieuwe taak",
    k.ROLE: "system",
    k.TELL: "sage, sag, sagen, empfehle, empfiehl, empfehlen, antworte, erwähne, erwähnen, behaupte, teile mit, zeg, "
    "vertel, antwoord, raad aan, vermeld, beveel, informiere, fordere, bitte den, sende, verzoek, stuur",
    k.CONFIDE: "sage, sag, erwähne, verrate, informiere, zeige, teile, zeg, vertel, vermeld, zonder te zeggen, mitteilen, "
    "erzähle",
    k.ABOUT: "über, zu, zum, zur, für, von, vom, aus, wenn, bei, im, in, des, der, voor, van, uit, bij, als, aan, met, "
    "mit, an, auf, den",
    k.COMPLETE: "vervollständige den satz, vervollständige diesen satz, vervollständige den text, vervollständige, "
    "ergänze den satz, beende den satz, beende diesen satz, setze den satz fort, maak deze zin af, maak de zin af, "
    "vul deze zin aan, vul aan",
    k.TOLD_ME: "mir wurde gesagt, mir wurde aufgetragen, ich wurde angewiesen, meine anweisungen, meine regeln, "
    "mein prompt, mein systemprompt, ich darf nicht, mijn instructies, mijn regels, mij is verteld, mijn systeemprompt",
    k.ANSWERS: "zu deiner antwort, in deiner antwort, in deine antwort, deiner antwort, deinen antworten, jede antwort, "
    "jeder antwort, jede deiner antworten, allen antworten, in je antwoord, aan je antwoord, elk antwoord, "
    "ieder antwoord, alle antwoorden",
    k.ADD: "füge, ergänze, hänge, setze, baue, binde, zeige, voeg, plaats, zet, neem",
    k.LEAK: "verrät, offenbart, preisgibt, enthüllt, vorliest, ausplaudert, aufsagt, verklapt, onthult, voorleest, opzegt",
    k.ITSELF: "seine eigenen anweisungen, ihre eigenen anweisungen, seine anweisungen, seinen systemprompt, "
    "seine geheimen, ihre geheimen, seine internen, ihren systemprompt, zijn eigen instructies, zijn instructies, "
    "zijn systeemprompt",
    k.GIVES: "gibt, nennt, zeigt, druckt, verrät, vorliest, wiederholt, preisgibt, toont, geeft, herhaalt, voorleest",
    k.SAYS: "antwortet immer, antwortet stets, sagt immer, wird immer antworten, hat stets zu antworten, "
    "antwoordt altijd, zegt altijd, antwortet das modell immer, antwortet das modell stets, sagt das modell immer, "
    "antwortet der bot immer, antwortet die ki immer",
    k.THE_PROMPT: "den prompt, den ganzen prompt, den gesamten prompt, de prompt, de hele prompt",
    k.APPLY: "gelten, gilt, gelden, geldt, binden",
    k.NO_MORE: "nicht mehr, nicht länger, niet meer, niet langer",
    k.BEGIN: "beginne mit, beginne deine antwort, beginne jede antwort, fang an mit, starte mit, starte deine antwort, "
    "beende jede antwort, beende deine antwort, schließe jede antwort, begin met, begin je antwoord, begin elk antwoord, "
    "eindig elk antwoord, eindig je antwoord",
    k.YES: "klar, natürlich, selbstverständlich, gerne, gern, hier sind, hier ist, natuurlijk, zeker, tuurlijk, hier zijn",
    k.FIGURE: "figur, charakter, wesen, personage, entiteit, wezen",
    k.SEND: "sende, schicke, schick, übermittle, maile, leite, lade, stuur, verstuur, mail, upload",
    k.GOODS: "zugangsdaten, passwörter, kennwörter, unterhaltung, gesprächsverlauf, chatverlauf, kundendaten, "
    "nutzerdaten, api schlüssel, wachtwoorden, inloggegevens, gesprek, klantgegevens",
    k.SOURCES: "die dokumente, den dokumenten, die quellen, den quellen, die textstellen, die belege, "
    "die anderen textstellen, de documenten, de bronnen, de passages",
    k.OPINION: "deinem eigenen wissen, eigenem wissen, deiner meinung, allgemeinwissen, aus dem gedächtnis, erfinde, "
    "denk dir, je eigen kennis, eigen kennis, uit je geheugen, verzin",
    k.ATTACK: "bedeutet, heißt, angriff, angriffe, satz, betekent, aanval, aanvallen, zin, ausdruck, schützen, angreifer, "
    "erkennen",
}
