"""French, Spanish, Italian and Portuguese. Apostrophes part words: l'IA is "l ia"."""

from llmops.guards.words import kinds as k

WORDS = {
    k.DROP: "ignorez, ignorer, oublie, oubliez, oublier, néglige, négligez, négliger, fais abstraction, "
    "faites abstraction, omets, ne tiens pas compte, ne tenez pas compte, ne tiens plus compte, ne tenez plus compte, "
    "ne pas tenir compte, écrase, efface, ne suis pas, ne suivez pas, ne suis plus, ne respecte pas, ne respectez pas, "
    "ne respecte plus, désobéis, enfreins, annule, passe outre, passez outre, mets de côté, laisse tomber, "
    "laisse de côté, ne prends pas en compte, outrepasse, cesse de suivre, arrête de suivre, abandonne, ignora, ignorad, "
    "ignoren, ignorar, ignoras, olvida, olvide, olvidar, olvídate, olvídese, olvidate, desestima, desestime, descarta, "
    "descarte, descartar, omite, omita, omitir, no sigas, no siga, no hagas caso, no obedezcas, haz caso omiso, "
    "haga caso omiso, hacer caso omiso, deja de lado, pasa por alto, pase por alto, no tengas en cuenta, anula, "
    "no tenga en cuenta, deja de seguir, desobedece, sobrescribe, prescinde, ignori, ignorare, ignorate, dimentica, "
    "dimentichi, dimenticare, dimenticati, dimenticate, scorda, scordati, trascura, trascurare, tralascia, non seguire, "
    "non considerare, non tenere conto, lascia perdere, lascia stare, sovrascrivi, annulla, disobbedisci, non badare, "
    "smetti di seguire, scarta, metti da parte, non rispettare, non dare retta, ignorem, esqueça, esquece, esquecer, "
    "esqueçam, desconsidere, desconsiderar, desconsidera, despreze, não siga, não sigas, não leve em conta, não obedeça, "
    "deixe de lado, deixa de lado, pare de seguir, desobedeça, sobrescreva, anule, deixe de seguir, não tenhas em conta, "
    "não respeite, viola, violer, violar, violare, ignores, olvides, inutile de t en tenir, ne t en tiens plus, "
    "ne te limite pas, no uses, no te limites, no te bases en, non usare, non limitarti, não use, não se limite",
    k.LIFT: "désactive, désactivez, désactiver, contourne, contournez, contourner, supprime, supprimez, lève, levez, "
    "enlève, retire, éteins, débloque, desactiva, desactive, desactivar, elude, eludir, evade, evita, quita, elimina, "
    "elimine, salta, sáltate, apaga, levanta, disattiva, disattivare, aggira, aggirare, rimuovi, rimuovere, togli, "
    "spegni, desative, desativa, desativar, contorne, contornar, burle, burla, burlar, remova, remover, desligue, "
    "desbloquea, desbloqueie, desactives, désactives, disattivi, desativem",
    k.SHOW: "montre, montrez, montrer, révèle, révélez, révéler, affiche, affichez, afficher, dis moi, dites moi, donne, "
    "donnez, donner, répète, répétez, répéter, imprime, imprimez, divulgue, divulguez, divulguer, écris, écrivez, cite, "
    "citez, traduis, traduisez, résume, résumez, copie, copiez, recopie, recopiez, partage, partagez, liste, communique, "
    "communiquez, expose, décris, envoie, muestra, muéstrame, muestre, muéstreme, mostrar, revela, revele, revelar, "
    "revélame, dime, dígame, decirme, imprima, enseña, enséñame, repite, repita, repetir, escribe, escriba, escríbeme, "
    "comparte, comparta, divulga, traduce, traduzca, resume, resúmeme, copia, lista, dame, deme, transcribe, cita, "
    "describe, enumera, envía, mostra, mostrami, mostri, mostrare, rivela, rivelami, riveli, rivelare, dimmi, dammi, "
    "stampa, stampare, ripeti, ripetere, ripeta, scrivi, scrivimi, condividi, traduci, riassumi, elenca, visualizza, "
    "fammi vedere, svela, svelami, riporta, trascrivi, mostre, mostrem, me mostre, me diga, diga me, diga, diz me, "
    "repete, exiba, exibe, exibir, escreva, escreve, compartilhe, partilha, traduza, traduz, descreva, me dê, dá me, "
    "dê me, conte, conte me, envie, transcreva, enséñeme, devoile, devoilez, dévoile, dévoilez, digame",
    k.WANT: "ver, voir, vedere, necesito, quiero, besoin, veux, voglio, preciso, quero, bisogno, accès, acceso, accesso, "
    "acesso, montrer, mostrar, mostrare",
    k.REPEAT: "répète, répétez, imprime, imprimez, recopie, recopiez, copie, écris, affiche, cite, traduis, repite, "
    "repita, imprima, copia, transcribe, escribe, muestra, traduce, ripeti, stampa, trascrivi, scrivi, riporta, traduci, "
    "escreva, exiba, transcreva, traduza, mostre, mostra, copiez",
    k.RENDER: "traduis, traduisez, résume, traduce, traduzca, resume, traduci, riassumi, traduza",
    k.ORDERS: "instruction*, consigne, consignes, directive*, ordres, prompt, prompts, invite système, instrucci*, "
    "indicaci*, directiva*, directriz, directrices, órdenes, mandato*, programación, programmation, istruzion*, "
    "indicazion*, direttiv*, comandi, prescrizion*, ordini, programmazione, instruç*, orientaç*, diretriz, diretrizes, "
    "comandos, ordens, programação, indicaç*, instruções",
    k.RULES: "règle, règles, restriction*, limites, limitation*, contrainte*, politique*, filtre*, sécurité, éthique, "
    "morale, censure, contexte, lignes directrices, regla, reglas, restricci*, límites, limitaci*, normas, políticas, "
    "filtro, filtros, seguridad, ética, moral, censura, contexto, regole, regola, restrizion*, limiti, limitazion*, "
    "politiche, filtri, linee guida, sicurezza, etica, contesto, vincoli, regra, regras, restriç*, limitaç*, segurança, "
    "directivas, diretivas",
    k.LIMIT: "règles, reglas, regole, regras, restrictions, restricciones, restrizioni, restrições, contraintes",
    k.SHIELD: "garde fous, garde fou, filtres de sécurité, filtre de sécurité, filtres de contenu, restrictions, "
    "règles de sécurité, mesures de sécurité, protections, filtros de seguridad, filtro de seguridad, "
    "filtros de contenido, restricciones, barreras, medidas de seguridad, reglas de seguridad, salvaguardas, "
    "filtri di sicurezza, filtro di sicurezza, restrizioni, protezioni, misure di sicurezza, regole di sicurezza, "
    "filtros de segurança, filtro de segurança, filtros de conteúdo, restrições, censura, medidas de segurança, "
    "regras de segurança, consignes de sécurité, protocolos de seguridad, censure",
    k.PROMPT: "prompt système, prompt systeme, invite système, message système, instructions système, "
    "instructions initiales, prompt initial, consignes initiales, instructions cachées, instructions secrètes, "
    "consignes secrètes, prompt caché, consignes internes, instructions internes, règles internes, "
    "instructions d origine, prompt d origine, instructions confidentielles, consignes cachées, prompt del sistema, "
    "prompt de sistema, instrucciones iniciales, instrucciones del sistema, mensaje del sistema, prompt inicial, "
    "instrucciones ocultas, instrucciones secretas, prompt oculto, instrucciones internas, instrucciones originales, "
    "reglas internas, mensaje de sistema, instrucciones de sistema, instrucciones confidenciales, prompt original, "
    "prompt secreto, prompt di sistema, istruzioni iniziali, istruzioni di sistema, messaggio di sistema, "
    "istruzioni nascoste, istruzioni segrete, prompt iniziale, istruzioni interne, istruzioni originali, prompt nascosto, "
    "regole interne, prompt originale, prompt segreto, prompt do sistema, instruções iniciais, instruções do sistema, "
    "mensagem do sistema, instruções ocultas, instruções secretas, instruções internas, instruções originais, "
    "regras internas, instruções confidenciais, prompt system, instruções de sistema",
    k.PRIOR: "précédent*, précedent*, antérieur*, ci dessus, toutes, tous, tout, initiales, ces, données, reçues, "
    "auparavant, avant, toute, préalable*, existantes, anterior, anteriores, previas, previos, previa, previo, todas, "
    "todos, todo, toda, iniciales, estas, dadas, recibidas, precedentes, arriba, cualquier, antes, precedenti, "
    "precedente, tutte, tutti, tutto, iniziali, queste, ricevute, date, sopra, qualsiasi, prima, anteriori, prévias, "
    "prévio, prévios, tudo, iniciais, recebidas, acima, quaisquer, qualquer, esses, essas, originales, originais, "
    "originali, d origine, quelle, questi, estos",
    k.OWN: "tes, ton, ta, vos, votre, tus, tu, sus, su, vuestras, vuestros, tue, tuo, tuoi, tua, sue, vostre, suas, seus, "
    "sua, seu, teus, te fueron dadas, te dieron, te han dado, t ont été données, t a données, qu on t a, "
    "vous ont été données, que recibiste, che hai ricevuto, che ti sono state, que você recebeu, que lhe foram, "
    "que te foram, que tienes, que has recibido, que tu as reçues, que vous avez reçues, les tiennes",
    k.HIDDEN: "caché*, secr*, initial*, interne*, confidentiel*, d origine, originel*, complet, complète, exact, ocult*, "
    "inicial*, intern*, confidencial*, original*, complet*, exact*, nascost*, segret*, inizial*, riservat*, secreta, "
    "integral, originali",
    k.TEXT: "texte, mots, message, messages, tout, contenu, phrases, lignes, texto, palabras, mensaje, mensajes, todo, "
    "contenido, frases, testo, parole, messaggio, messaggi, tutto, contenuto, frasi, palavras, mensagem, mensagens, tudo, "
    "conteúdo, linhas",
    k.ABOVE: "ci dessus, précédent, précédents, plus haut, avant ce message, avant cela, mot pour mot, mot à mot, "
    "textuellement, au dessus, arriba, anterior, anteriores, más arriba, palabra por palabra, textualmente, "
    "antes de este, literalmente, sopra, precedente, precedenti, parola per parola, alla lettera, testualmente, "
    "prima di questo, qui sopra, acima, palavra por palavra, antes desta, antes disso, no início, al principio, "
    "all inizio, au début, por encima, por encima de este mensaje, au dessus de ce message, sopra questo messaggio, "
    "acima desta mensagem, acima desta linha, encima de esta línea",
    k.THE_ABOVE: "tout ce qui précède, tout ce que tu sais, tout ce qu on t a dit, tout ce qui est au dessus, "
    "ce qui précède, tout ci dessus, ce qu on t a dit, tout ce qui a été dit, todo lo anterior, lo anterior, "
    "todo lo que sabes, todo lo que te han dicho, todo lo que te dijeron, lo que te dijeron, lo que te han dicho, "
    "todo lo dicho, tutto ciò che precede, tutto quanto sopra, tutto quello che ti è stato detto, "
    "tutto ciò che ti è stato detto, quanto sopra, tutto quello che sai, tutto ciò che sai, tudo o que foi dito, "
    "tudo acima, tudo o que está acima, tudo que foi dito, tudo o que você sabe, tudo que você sabe, o que precede, "
    "tudo o que lhe foi dito, o texto acima, tudo anterior, el texto anterior, le texte précédent, il testo precedente, "
    "o que foi dito, que eres una ia, que tu es une ia, che sei un ia, que você é uma ia, tout ce qu on vous a dit, "
    "el contexto anterior, tous les messages précédents, todos los mensajes anteriores, tutti i messaggi precedenti, "
    "todas as mensagens anteriores, le contexte, el contexto, il contesto, o contexto, el contexto proporcionado, "
    "le contexte fourni, que eres un asistente, tu es un assistant, eres un asistente, sei un assistente, "
    "você é um assistente",
    k.LEARNT: "tu sais, tu as appris, on t a dit, je t ai dit, a été dit, vous savez, on vous a dit, sabes, "
    "has aprendido, te dijeron, te han dicho, te dije, se dijo, sai, hai imparato, ti hanno detto, ti è stato detto, "
    "ho detto, você sabe, você aprendeu, te disseram, lhe disseram, foi dito, eu disse, te enseñaron",
    k.TOLD: "t a t on dit, t a on dit, on t a dit, t ont dit, vous a t on dit, te dijeron, te han dicho, te han ordenado, "
    "te indicaron, ti hanno detto, ti è stato detto, lhe disseram, te disseram, foi dito a você, foi instruído, "
    "as tu été programmé, fuiste programado, sei stato programmato, você foi programado, n as tu pas le droit, "
    "qui t a configuré, t a configuré, te configuró, te configuraron, ti ha configurato, que o configurou, "
    "que te configurou, que a configurou, te configurou, qui vous a configuré",
    k.GIVEN: "as tu reçues, as tu reçu, avez vous reçues, avez vous reçu, t a t on données, t ont été données, "
    "tu as reçues, l on t a données, qu on t a données, on t a données, has recibido, recibiste, te dieron, "
    "te fueron dadas, hai ricevuto, ti sono state date, ti hanno dato, você recebeu, recebeste, lhe foram dadas, "
    "te deram, lhe deram, t a données, te han dado, que recibes, que recibiste, que tu reçois, que ricevi, "
    "que você recebe, ti hanno dato gli sviluppatori, te dieron tus, que recebeu, que recebeste, que lhe deram, "
    "que te deram, que tu as reçues, que tu as reçus, que vous avez reçues, que has recibido, che hai ricevuto, "
    "que te dieron, que te han dado",
    k.HAVE: "suis tu, suivez vous, as tu, sigues, tienes, segui, hai, você segue, você tem, tens, obedeces",
    k.FOLLOW: "suis tu, suivez vous, sigues, segui, você segue, que tu suis, que vous suivez, que sigues, que segui, "
    "que você segue, debes seguir, dois suivre, devi seguire, deve seguir",
    k.START: "début de cette conversation, début de la conversation, inicio de esta conversación, "
    "inicio de la conversación, inizio di questa conversazione, inizio della conversazione, início desta conversa, "
    "início da conversa, avant mon message, antes de mi mensaje, antes da minha mensagem, prima del mio messaggio, "
    "au dessus de ce message, au dessus de cette ligne, avant ma question, encima de este mensaje, "
    "arriba de este mensaje, encima de esta línea, antes de mi pregunta, sopra questo messaggio, sopra questa riga, "
    "prima della mia domanda, acima desta mensagem, acima desta linha, antes da minha pergunta",
    k.STUFF: "configuration, paramètres, configuración, parámetros, ajustes, configurazione, parametri, impostazioni, "
    "configuração, parâmetros, código fuente, code source",
    k.FORM: "français, francés, francese, francês, anglais, inglés, inglese, inglês, espagnol, español, entier, "
    "intégralité, completo, intero, completa, code, json",
    k.IF: "quand, lorsque, cuando, quando, mientras, lorsqu, porque, parce",
    k.ASK: "quel, quelle, quelles, quels, qu est ce, dis moi, dites moi, montre, donne, qué, cuál, cuáles, dime, "
    "muéstrame, quale, quali, cosa, che cosa, qual, quais, o que, diga, mostra, dimmi, me diga, che istruzioni, "
    "che regole, qué instrucciones, que instruções, que regras, comment commencerait, comment commence, cómo empezaría, "
    "cómo comenzaría, come inizierebbe, come comincerebbe, como começaria",
    k.HOW: "comment, pourquoi, cómo, por qué, come, perché, como, por que, si, se, faut",
    k.MAY: "peut, peuvent, puis, doit, doivent, dois, puede, pueden, puedo, debe, deben, debo, può, possono, posso, deve, "
    "devono, devo, pode, podem, devem, podemos, possiamo, peux je, faut",
    k.BE: "est, sont, a t, es, está, son, è, sono, é, são, est ce que, hay",
    k.ME: "je, j, nous, on, qui, il, elle, ils, moi, quelqu, yo, nosotros, quién, alguien, puedo, podemos, debo, debemos, "
    "empleados, io, noi, chi, qualcuno, posso, possiamo, devo, dobbiamo, dipendenti, eu, nós, quem, alguém, employés, "
    "clientes, clienti, usuarios, utilisateurs, utenti, funcionários, me",
    k.MINE: "mon, ma, mes, notre, nos, mi, mis, nuestras, mio, mia, miei, mie, nostre, meu, minha, meus, minhas, leurs",
    k.YOU: "tu, vous, toi, usted, ustedes, vosotros, tú, te, voi, lei, você, vocês",
    k.NOT: "pas, jamais, n, nunca, jamás, non, mai, não, sans, sin, senza, sem, aucune, aucun, ningún, ninguna, nessun, "
    "nessuna, nenhum",
    k.EXAMPLE: "exemple, exemples, où, ejemplo, ejemplos, dónde, esempio, esempi, dove, exemplo, exemplos, onde, un, una, "
    "um, uma, une, comment, cómo, come, como, plantilla, modèle, modello",
    k.NO: "sans, aucune, aucun, sin, ninguna, ningún, senza, nessuna, nessun, sem, nenhuma, nenhum, libre de, "
    "libre de toute, libero da, livre de, privo di, au delà des, sin ninguna, senza alcuna, sem qualquer, hors de, "
    "pas de, no tiene, non ha, não tem, n a aucune, no tuvieras, non avessi, n avais aucune, n avais pas de, não tivesse, "
    "no tienes, non hai, n as aucune, no tuviera, n aviez aucune, n avais, no tengas",
    k.FREE: "sans filtre, non censuré*, sin filtro, sin filtros, sin censura, senza filtri, senza censura, sem filtro, "
    "sem filtros, sem censura, débridé*, illimitée, ilimitada ia, incensurat*, irrestrit*, irrestrict*, "
    "ma défunte grand mère, mi abuela, mia nonna, ma grand mère, minha avó, mi difunta abuela, tout ce que je, "
    "cualquier cosa, qualsiasi cosa, qualquer coisa, n importe quoi, ce que tu veux, ce que vous voulez, comme tu veux, "
    "lo que quieras, como quieras, lo que tú quieras, quello che vuoi, ciò che vuoi, come vuoi, o que quiser, "
    "o que quiseres, como quiser",
    k.UNBOUND: "mode dan, modo dan, modalità dan, tu es dan, eres dan, sei dan, você é dan, tu es maintenant dan, "
    "ahora eres dan, ora sei dan, modo jailbreak, mode jailbreak, modalità jailbreak, agora você é dan, "
    "tu n as plus de restrictions, ya no tienes restricciones, non hai più restrizioni, você não tem mais restrições, "
    "no tienes restricciones, non hai restrizioni, não tem restrições, tu n as aucune restriction",
    k.PLAY: "agis comme, agissez comme, fais semblant, faites semblant, imagine, imaginez, joue le rôle, jouez le rôle, "
    "comporte toi, comportez vous, mets toi, incarne, simule, prétends, tu es un, tu es une, réponds comme, jeu de rôle, "
    "deviens, à partir de maintenant, désormais, actúa como, actúe como, finge, finja, imagina, haz de cuenta, haz como, "
    "compórtate, interpreta, simula, eres un, eres una, juego de rol, responde como, conviértete, a partir de ahora, "
    "desde ahora, agisci come, fai finta, fingi, immagina, comportati, sei un, sei una, gioco di ruolo, rispondi come, "
    "diventa, da ora in poi, aja como, atue como, age como, faça de conta, comporte se, interprete, você é um, "
    "você é uma, responda como, a partir de agora, faz de conta, haz de, haga de, haz el papel, hazte pasar por, "
    "fai la parte, recita la parte, fais le rôle, faz de, faça o papel, faz o papel, finge ser",
    k.YOU_ARE: "tu es, vous êtes, tu seras, tu deviens, eres, serás, sos, usted es, sei, sarai, tu sei, você é, "
    "você será, tu és, vais ser",
    k.INDEFINITE: "un, une, una, um, uma, le, la, el, il, o, mon, mi, mio, meu, minha, mia, en, in, em, libre, libero, "
    "livre, dans",
    k.NOW_YOU: "tu es maintenant, tu es désormais, vous êtes maintenant, vous êtes désormais, maintenant tu es, "
    "désormais tu es, tu n es plus, vous n êtes plus, à partir de maintenant tu es, ahora eres, eres ahora, "
    "ahora usted es, usted es ahora, ya no eres, a partir de ahora eres, desde ahora eres, adesso sei, ora sei, sei ora, "
    "sei adesso, non sei più, da ora sei, da ora in poi sei, agora você é, você agora é, você é agora, agora és, "
    "você não é mais, já não és, a partir de agora você é, da adesso sei, a partir de agora és, tu sei ora, "
    "d ora in poi sei",
    k.FROM_NOW: "à partir de maintenant, dorénavant, désormais, dès maintenant, a partir de ahora, de ahora en adelante, "
    "desde ahora, da ora in poi, d ora in poi, da adesso in poi, da questo momento, a partir de agora, "
    "de agora em diante, doravante, d ora in avanti",
    k.NEW_TASK: "ta nouvelle tâche, ta nouvelle mission, ton nouveau rôle, tes nouvelles instructions, "
    "nouvelles instructions, votre nouvelle mission, votre nouvelle tâche, nouvelle instruction, ta seule tâche, "
    "obéis moi, tu nueva tarea, tu nuevo rol, tus nuevas instrucciones, nuevas instrucciones, tu única tarea, "
    "tu nueva misión, nueva instrucción, obedéceme, tu nuevo objetivo, il tuo nuovo compito, il tuo nuovo ruolo, "
    "le tue nuove istruzioni, nuove istruzioni, nuova istruzione, la tua nuova missione, il tuo unico compito, "
    "obbediscimi, sua nova tarefa, seu novo papel, suas novas instruções, novas instruções, nova instrução, "
    "tua nova tarefa, obedeça me, sua única tarefa, o teu novo papel, sua nova missão",
    k.MODE: "mode développeur, mode développement, mode dieu, mode débogage, mode debug, mode maintenance, "
    "mode administrateur, mode admin, modo desarrollador, modo de desarrollador, modo dios, modo depuración, modo debug, "
    "modo mantenimiento, modo administrador, modalità sviluppatore, modalità debug, modalità dio, modalità manutenzione, "
    "modalità amministratore, modo desenvolvedor, modo de desenvolvedor, modo deus, modo programador, "
    "modo sin restricciones, mode sans restriction, mode sans restrictions, modo sem restrições, "
    "modalità senza restrizioni, modo de programador, modo de depuración, modo de depuração, modo dan, mode dan",
    k.TURN_ON: "active, activez, activer, passe en, passez en, entre en, entrez en, bascule en, tu es en, lance, activa, "
    "activar, entra en, cambia a, pasa a, estás en, habilita, habilite, attiva, attivare, entra in, passa a, passa in, "
    "sei in, abilita, ative, ativa, ativar, entre no, mude para, você está no, ingresa, pasa al",
    k.ANSWER: "réponds, répondez, répondre, parle, agis, responde, responda, responder, contesta, conteste, habla, "
    "rispondi, risponda, rispondere, parla, agisci, fale, aja, génère, genera, gere, explique, explica, spiega",
    k.AI: "ia, intelligence artificielle, modèle de langage, inteligencia artificial, modelo de lenguaje, "
    "intelligenza artificiale, modello linguistico, modello di linguaggio, inteligência artificial, modelo de linguagem, "
    "agent conversationnel, assistants ia",
    k.BOT: "assistant, asistente, assistente, modèle, modelo, modello, agent, agente, robot, programme, programa",
    k.VOID: "ne s appliquent plus, n ont plus cours, sont annulées, sont caduques, ne sont plus valables, ya no aplican, "
    "ya no se aplican, quedan anuladas, están anuladas, ya no son válidas, han sido anuladas, non si applicano più, "
    "sono annullate, non valgono più, sono nulle, não se aplicam mais, estão anuladas, já não se aplicam, não valem mais, "
    "foram anuladas, no aplican, ont été annulées",
    k.REFUSE: "refuse, refusez, refuser, excuse, excuses, rechaces, rechazar, negarte, te niegues, te disculpes, "
    "rifiutare, rifiutarti, scusarti, recuse, recusar, se desculpe, niegues",
    k.OBEY: "suis, suivez, suivre, exécute, exécutez, obéis, fais ce, faites ce, sigue, siga, ejecuta, ejecute, obedece, "
    "haz lo, segui, esegui, obbedisci, fai quello, execute, obedeça, faça o, cumple, cumpra",
    k.CODED: "décode, décodez, décoder, déchiffre, déchiffrez, decodifica, descodifica, decodifique, descifra, descifre, "
    "decifra, decifre, décodé, decodificado, decodificare",
    k.MAKER: "je suis ton développeur, je suis ton créateur, je suis le développeur, je suis l administrateur, "
    "soy tu desarrollador, soy tu creador, soy el desarrollador, soy el administrador, soy tu administrador, "
    "sono il tuo sviluppatore, sono il tuo creatore, sono lo sviluppatore, sono l amministratore, "
    "sono il tuo amministratore, sou seu desenvolvedor, sou o seu desenvolvedor, sou seu criador, sou o administrador, "
    "sou o desenvolvedor, sou o teu criador, je t ai créé, soy tu programador",
    k.MUST: "doivent, doit, devez, dois, veuillez, deben, debe, debes, tienes que, devono, deve, devi, devem, deverá, "
    "toujours, siempre, sempre",
    k.NOTE_TO: "note à, note aux, à l attention, attention, message à, message aux, instruction pour, instructions pour, "
    "chers, cher, nota para, atención, mensaje para, instrucciones para, nota a, a los, attenzione, messaggio per, "
    "istruzioni per, nota per, atenção, aviso para, mensagem para, instruções para, aos, avis aux, estimados, aviso a",
    k.READING: "lisant, lisent, lit, traitent, traitant, résument, résumant, résume, analysant, analysent, lean, lee, "
    "leen, leyendo, procesen, procesan, resuman, resumen, analicen, leggono, leggendo, legge, elaborano, riassumono, "
    "analizzano, lendo, leem, leiam, processam, resumem, analisam",
    k.HERE: "ce document, cette page, ce texte, ces instructions, ce message, este documento, esta página, este texto, "
    "estas instrucciones, este mensaje, questo documento, questa pagina, questo testo, queste istruzioni, "
    "questo messaggio, estas instruções, esta mensagem",
    k.USER: "l utilisateur, utilisateur, el usuario, al usuario, usuario, l utente, all utente, utente, o usuário, "
    "ao usuário, usuário, o utilizador, ao utilizador, la question de l utilisateur, la pregunta del usuario, "
    "la domanda dell utente",
    k.ASKED: "la question de l utilisateur, la demande de l utilisateur, la pregunta del usuario, "
    "la solicitud del usuario, la domanda dell utente, la richiesta dell utente, a pergunta do usuário, "
    "o pedido do usuário",
    k.WHEN_READ: "si tu lis ceci, si vous lisez ceci, avant de répondre, à la fin de toute réponse, dans ta réponse, "
    "si lees esto, antes de responder, al final de cualquier respuesta, en tu respuesta, se leggi questo, "
    "prima di rispondere, alla fine di ogni risposta, nella tua risposta, se você está lendo, no final de cada resposta, "
    "na sua resposta, quando leggi questo, cuando leas esto, quand tu lis ceci",
    k.HEADER: "note système, message système, nouvelle instruction, nouvelles instructions, nouvelle tâche, "
    "nota del sistema, mensaje del sistema, nueva instrucción, nuevas instrucciones, nueva tarea, nota di sistema, "
    "messaggio di sistema, nuova istruzione, nuove istruzioni, nota do sistema, mensagem do sistema, nova instrução, "
    "novas instruções, nova tarefa, instruction système, instrucción del sistema",
    k.ROLE: "système, sistema",
    k.TELL: "dis, dites, dire, recommande, recommandez, recommander, réponds, répondez, mentionne, affirme, informe, di, "
    "diga, recomienda, recomiende, recomendar, responde, responda, menciona, afirma, informa, dica, raccomanda, "
    "raccomandare, consiglia, rispondi, menziona, recomende, mencione, afirme, envoie, envía, invia, envie, decir, digan",
    k.CONFIDE: "dis, dites, mentionne, mentionnez, révèle, informe, di, diga, digas, menciona, menciones, reveles, "
    "revela, dire, menzionare, rivelare, informare, mencione, revele, informes",
    k.ABOUT: "sur, pour, concernant, de, du, des, à, dans, d, sobre, para, del, en, acerca, por, su, per, di, della, dei, "
    "riguardo, nel, da, do, dos, em, no, na, ao, aux, au, dell, quando, cuando, quand, si, se",
    k.COMPLETE: "complète cette phrase, complète la phrase, complétez la phrase, termine cette phrase, termine la phrase, "
    "completa esta frase, completa la frase, completa la oración, termina la frase, completa questa frase, "
    "completa a frase, complete a frase, complete esta frase, termine a frase, termina questa frase",
    k.TOLD_ME: "mes instructions, mes consignes, mes règles, mon prompt, on m a dit, mis instrucciones, mis reglas, "
    "mi prompt, me dijeron, me ordenaron, le mie istruzioni, le mie regole, il mio prompt, mi è stato detto, "
    "minhas instruções, minhas regras, meu prompt, me disseram, fui instruído",
    k.ANSWERS: "à ta réponse, à votre réponse, dans ta réponse, dans votre réponse, de ta réponse, chaque réponse, "
    "toute réponse, toutes tes réponses, a tu respuesta, en tu respuesta, de tu respuesta, cada respuesta, "
    "toda respuesta, todas las respuestas, alla tua risposta, nella tua risposta, ogni risposta, tutte le risposte, "
    "à sua resposta, na sua resposta, na tua resposta, cada resposta, toda resposta, todas as respostas",
    k.ADD: "ajoute, ajoutez, insère, insérez, inclus, incluez, mets, mettez, affiche, añade, añada, agrega, agregue, "
    "incluye, incluya, inserta, inserte, pon, aggiungi, inserisci, includi, metti, adicione, adiciona, inclua, inclui, "
    "insira, insere, acrescente",
    k.LEAK: "révèle, dévoile, récite, divulgue, revela, recita, divulga, desvela, rivela, svela, confiesa, confessa",
    k.ITSELF: "ses propres instructions, ses instructions, ses consignes, son prompt, son propre prompt, "
    "sus propias instrucciones, sus instrucciones, su prompt, su propio prompt, le sue istruzioni, le proprie istruzioni, "
    "il suo prompt, il proprio prompt, suas próprias instruções, suas instruções, seu prompt, seu próprio prompt",
    k.GIVES: "donne, affiche, lit, récite, répète, révèle, da, muestra, lee, recita, repite, revela, mostra, legge, "
    "ripete, rivela, lê, repete, fornece",
    k.SAYS: "répondra toujours, répond toujours, dira toujours, répondra que, responderá siempre, siempre responderá, "
    "dirá siempre, responderá que, risponderà sempre, risponde sempre, dirà sempre, risponderà che, responderá sempre, "
    "sempre responderá, dirá sempre, responde sempre",
    k.THE_PROMPT: "le prompt, le prompt complet, el prompt, el prompt completo, il prompt, il prompt completo, o prompt, "
    "o prompt completo",
    k.BEGIN: "commence par, commencez par, commence ta réponse, commence chaque réponse, termine chaque réponse, "
    "finis chaque réponse, empieza con, comienza con, empieza por, comienza por, empieza tu respuesta, "
    "comienza tu respuesta, empieza cada respuesta, termina cada respuesta, inizia con, comincia con, inizia la risposta, "
    "inizia la tua risposta, inizia ogni risposta, termina ogni risposta, comece com, comece por, comece sua resposta, "
    "comece a resposta, comece cada resposta, termine cada resposta",
    k.YES: "bien sûr, certainement, voici, d accord, claro, por supuesto, aquí están, aquí está, desde luego, certo, "
    "certamente, ecco, naturalmente, aqui estão, aqui está, com certeza",
    k.FIGURE: "personnage, entité, personaje, entidad, personaggio, entità, personagem, entidade",
    k.SEND: "envoie, envoyez, transmets, transmettez, envía, envíe, manda, invia, inoltra, envie, mande, encaminhe",
    k.GOODS: "identifiants, mots de passe, conversation, historique, données clients, clé api, clés api, credenciales, "
    "contraseñas, conversación, historial, datos de clientes, clave api, credenziali, password, conversazione, "
    "cronologia, dati dei clienti, chiave api, credenciais, senhas, conversa, histórico, dados de clientes, chave api",
    k.SOURCES: "les documents, aux documents, les passages, les sources, los documentos, los pasajes, las fuentes, "
    "a los documentos, i documenti, i passaggi, le fonti, ai documenti, os documentos, as passagens, as fontes, "
    "aos documentos",
    k.OPINION: "tes propres connaissances, tes connaissances, ta propre opinion, de mémoire, invente, inventez, "
    "tu propio conocimiento, tus conocimientos, tu opinión, de memoria, inventa, tue conoscenze, tua opinione, a memoria, "
    "inventati, seu próprio conhecimento, seus conhecimentos, sua opinião, de memória",
    k.ATTACK: "veut dire, signifie, attaque, attaques, phrase, significa, ataque, ataques, frase, attacco, attacchi, "
    "quiere decir, quer dizer, vuol dire, ejemplo de, attaquant, atacante, détecter, detectar, protéger, proteger",
}
