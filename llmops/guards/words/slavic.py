"""Russian, Ukrainian and Polish."""

from llmops.guards.words import kinds as k

WORDS = {
    k.DROP: "игнорируй, игнорируйте, игнорировать, проигнорируй, проигнорируйте, проигнорировать, забудь, забудьте, "
    "забыть, не обращай внимания, не обращайте внимания, отбрось, отбросьте, отмени, отмените, пренебреги, нарушь, "
    "не следуй, не следуйте, не выполняй, не выполняйте, не соблюдай, пропусти, перестань следовать, отвергни, сотри, "
    "перезапиши, не учитывай, не учитывайте, ігноруй, ігноруйте, проігноруй, не зважай, zignoruj, ignoruj, ignorujcie, "
    "zapomnij, zapomnijcie, pomiń, odrzuć, nie zwracaj uwagi na, nie przestrzegaj, nie stosuj się do, nadpisz, zlekceważ, "
    "proszę zignorować, zignorować, pomijaj, złam, откажись от, не слушай, не используй, не опирайся, nie korzystaj z, "
    "nie opieraj się",
    k.LIFT: "отключи, отключите, отключить, обойди, обойдите, обойти, сними, снимите, снять, убери, удали, деактивируй, "
    "выключи, вимкни, обійди, зніми, wyłącz, wyłączyć, obejdź, obejść, usuń, zdezaktywuj, dezaktywuj, zdejmij",
    k.SHOW: "покажи, покажите, показать, выведи, выведите, вывести, раскрой, раскройте, раскрыть, напечатай, распечатай, "
    "повтори, скажи, повторите, расскажи, напиши, назови, сообщи, переведи, процитируй, выдай, дай, опиши, перескажи, "
    "открой, скопируй, перечисли, відкрий, виведи, розкрий, надрукуй, pokaż, pokażcie, ujawnij, wyświetl, wypisz, "
    "powtórz, podaj, wydrukuj, powiedz, napisz, przetłumacz, zacytuj, zdradź, skopiuj, streść, opisz, ujawnić, wymień",
    k.WANT: "нужен, нужно, хочу, увидеть, посмотреть, potrzebuję, chcę, zobaczyć, доступ, dostęp",
    k.REPEAT: "повтори, повторите, выведи, выведите, напечатай, процитируй, скопируй, переведи, напиши, powtórz, wypisz, "
    "zacytuj, skopiuj, wydrukuj, przetłumacz, wyświetl, покажи",
    k.RENDER: "переведи, перескажи, przetłumacz, streść",
    k.ORDERS: "инструкци*, указани*, команд*, директив*, промпт*, предписани*, установк*, приказ*, системн* промпт, "
    "інструкці*, вказівк*, instrukcj*, polece*, wytyczn*, prompt, promptu, promptów, nakaz*, dyrektyw*, programowani*",
    k.RULES: "правила, правил, правилами, правилах, ограничени*, запрет*, политик*, фильтр*, цензур*, мораль, этик*, "
    "безопасност*, рамки, рамок, контекст, обмежен*, zasad, zasady, reguł*, ograniczen*, limit*, filtr*, cenzur*, etyk*, "
    "bezpieczeństw*, kontekst, regulamin, правилам, правило, правилу, zasad*",
    k.LIMIT: "правила, правил, ограничения, zasady, reguły, ograniczenia, правилах, правилам, правилами, zasadach, "
    "zasadami, zasad, reguł",
    k.SHIELD: "фильтры безопасности, фильтр безопасности, ограничени*, цензур*, защитные механизмы, правила безопасности, "
    "меры безопасности, фільтри безпеки, filtry bezpieczeństwa, filtr bezpieczeństwa, zabezpiecze*, ograniczenia, "
    "zasady bezpieczeństwa, cenzur*",
    k.PROMPT: "системный промпт, системного промпта, системные инструкции, системную инструкцию, системных инструкций, "
    "системное сообщение, исходные инструкции, первоначальные инструкции, изначальные инструкции, скрытые инструкции, "
    "внутренние инструкции, начальный промпт, секретные инструкции, скрытый промпт, внутренние правила, исходный промпт, "
    "системным промптом, системном промпте, системна інструкція, системний промпт, системні інструкції, prompt systemowy, "
    "promptu systemowego, instrukcje systemowe, instrukcji systemowych, początkowe instrukcje, ukryte instrukcje, "
    "wiadomość systemowa, wewnętrzne instrukcje, początkowy prompt, pierwotne instrukcje",
    k.PRIOR: "предыдущ*, прежн*, все, всё, всех, любые, выше, вышеуказанн*, прошл*, ранее, первоначальн*, изначальн*, "
    "данные, эти, начальн*, предшествующ*, вышеизложенн*, прошлые, до этого, попередн*, усі, всі, poprzedni*, "
    "wcześniejsz*, wszystki*, powyższ*, dotychczasow*, dotychczas, te, otrzymane, pierwotn*, każd*",
    k.OWN: "твои, твоих, твой, твоего, твою, твоя, твоё, твоими, ваши, ваших, ваш, вашего, вашу, ваша, свои, своих, свой, "
    "свою, своего, своими, данные тебе, твоєї, твої, свої, twoje, twoich, twój, twojego, swoje, swoich, swój, swojego, "
    "wasze, swoim, twoimi, твоём, твоем, твоему, твоей, вашем, вашей, вашим, twoim, twojej, waszym",
    k.HIDDEN: "скрыт*, секретн*, внутренн*, исходн*, первоначальн*, изначальн*, полн*, точн*, конфиденциальн*, ukryt*, "
    "tajn*, wewnętrzn*, początkow*, poufn*, pełn*, dokładn*, pierwotn*",
    k.TEXT: "текст, слова, сообщение, сообщения, всё, все, содержание, содержимое, фразы, строки, tekst, słowa, "
    "wiadomość, wszystko, treść",
    k.ABOVE: "выше, до этого, перед этим, дословно, слово в слово, предыдущее, предыдущий, вище, powyżej, powyższy, "
    "powyższe, dosłownie, słowo w słowo, przed tym, wcześniej, в начале, na początku",
    k.THE_ABOVE: "всё выше, все выше, всё вышесказанное, все вышесказанное, вышеизложенное, всё что было сказано, "
    "все что было сказано, всё что выше, все что выше, всё что было выше, все что было выше, всё что ты знаешь, "
    "все что ты знаешь, всё что тебе говорили, все что тебе говорили, все предыдущее, всё предыдущее, всё сказанное выше, "
    "wszystko powyżej, wszystko co powyżej, wszystko co było, powyższe, wszystko co wiesz, wszystko co ci powiedziano, "
    "o wszystkim, что ты ии, всё, о том что ты, все предыдущие сообщения, контекст, wszystkie poprzednie wiadomości, "
    "kontekst, весь контекст, что ты ассистент, что ты бот, że jesteś asystentem",
    k.LEARNT: "ты знаешь, тебе говорили, тебе сказали, я говорил, было сказано, вы знаете, тебя учили, wiesz, "
    "ci powiedziano, powiedziałem, ci mówiono",
    k.TOLD: "тебе сказали, тебе велели, тебе было сказано, тебя проинструктировали, тебе приказали, тебе запрещено, "
    "вам сказали, тебя запрограммировали, ci powiedziano, ci kazano, zostałeś poinstruowany, ci nie wolno, "
    "тебя настроили, тебя настраивает, тебя сконфигурировали, cię skonfigurowano, cię skonfigurowała, cię ustawiono",
    k.GIVEN: "тебе дали, тебе даны, ты получил, вам дали, тебе были даны, otrzymałeś, dostałeś, ci dano, "
    "которые ты получил, которые тебе дали, ты получила, które otrzymałeś, które dostałeś, dostałaś, otrzymałaś, ci podano",
    k.HAVE: "ты следуешь, вы следуете, у тебя, у тебя есть, masz, przestrzegasz",
    k.FOLLOW: "ты следуешь, вы следуете, ты соблюдаешь, przestrzegasz, stosujesz",
    k.START: "начале этого разговора, начале разговора, początku tej rozmowy, начало разговора, перед моим сообщением, "
    "до моего сообщения, выше этого сообщения, над этим сообщением, выше этой строки, над этой строкой, "
    "перед моим вопросом, przed moją wiadomością, przed moim pytaniem, nad tą wiadomością, powyżej tej wiadomości, "
    "nad tym wierszem, powyżej tego wiersza, nad tą linijką, nad tą linią, powyżej tej linijki, powyżej tej linii, "
    "над моим вопросом, выше моего вопроса",
    k.STUFF: "конфигураци*, параметр*, настройк*, исходный код, konfiguracj*, parametr*, ustawieni*",
    k.FORM: "полностью, дословно, английский, w całości, angielski, po angielsku",
    k.IF: "если, когда, jeśli, gdy, kiedy",
    k.ASK: "что, какой, какие, какая, каков, каковы, скажи, покажи, назови, який, які, jaki, jakie, co, jaka, powiedz, "
    "pokaż, podaj, как начиналось бы, как звучали бы, jak zaczynałaby, jak brzmiałyby, jak brzmiałaby",
    k.HOW: "как, почему, зачем, если, можно, jak, dlaczego, czy, чи, ли",
    k.MAY: "может, могут, можно, должен, должны, следует, могу, может ли, może, mogą, można, powinien, powinni, mogę, musi",
    k.ME: "я, мы, он, она, они, кто, мне, нам, кто то, сотрудники, сотрудник, клиенты, пользователи, можно, могу, ja, my, "
    "kto, ktoś, mogę, możemy, pracownicy, pracownik, klienci, użytkownicy, він, ми, хто, мене, меня",
    k.MINE: "мои, моих, мой, мою, моё, наши, мої, moje, moich, mój, nasze",
    k.YOU: "ты, вы, тебе, тебя, вам, вас, ти, ви, ty, wy, pan",
    k.NOT: "не, никогда, нельзя, без, ні, nie, nigdy, bez",
    k.EXAMPLE: "пример, примеры, где, почему, как, шаблон, przykład, przykłady, gdzie, jak, szablon, приклад",
    k.NO: "без, никаких, нет, без каких либо, без всяких, свободен от, свободный от, вне, не связан, bez, żadnych, "
    "wolny od, poza, без жодних, нет никаких, у тебя нет, не имеешь, nie masz, nie miał",
    k.FREE: "неограниченн*, нецензурированн*, без цензуры, без фильтров, nieograniczon*, nieocenzurowan*, bez cenzury, "
    "bez filtrów, моя покойная бабушка, моей бабушкой, моя бабушка, moja babcia, moją babcią, всё что угодно, что угодно, "
    "бабушку, babcię, что хочешь, как хочешь, co chcesz, jak chcesz, co tylko chcesz",
    k.UNBOUND: "режим dan, ты dan, ты теперь dan, режим дэн, ты дэн, tryb dan, jesteś dan, teraz jesteś dan, "
    "jesteś teraz dan, нет ограничений у тебя, у тебя нет ограничений, у тебя больше нет ограничений, у тебя нет правил, "
    "nie masz ograniczeń, nie masz żadnych ograniczeń",
    k.PLAY: "представь, представьте, притворись, притворитесь, веди себя, действуй как, сыграй роль, играй роль, "
    "ты играешь, вообрази, отвечай как, симулируй, будь, стань, изобрази, ролевая игра, ролевую игру, с этого момента, "
    "отныне, уяви, поводься, udawaj, wyobraź sobie, zachowuj się, wciel się, odgrywaj, graj rolę, działaj jako, "
    "odpowiadaj jako, symuluj, od teraz",
    k.YOU_ARE: "твоё имя, тебя зовут, jesteś, masz na imię, nazywasz się, будешь",
    k.INDEFINITE: "мой, моя, свободный, без, mój, moja, wolny, bez, в, w",
    k.NOW_YOU: "теперь ты, ты теперь, ты больше не, отныне ты, с этого момента ты, теперь вы, вы теперь, "
    "с этого момента вы, вы больше не, тепер ти, ти тепер, відтепер ти, jesteś teraz, teraz jesteś, od teraz jesteś, "
    "nie jesteś już, od tej pory jesteś",
    k.FROM_NOW: "с этого момента, отныне, теперь ты, впредь, с данного момента, відтепер, od teraz, od tej pory, odtąd, "
    "od tego momentu",
    k.NEW_TASK: "твоя новая задача, твоя новая роль, твои новые инструкции, новые инструкции, новая инструкция, "
    "твоя единственная задача, ваша новая задача, ваша новая роль, слушайся меня, подчиняйся мне, нові інструкції, "
    "твоє нове завдання, twoje nowe zadanie, twoja nowa rola, nowe instrukcje, twoje nowe instrukcje, nowa instrukcja, "
    "twoim nowym zadaniem, twoim jedynym zadaniem, słuchaj mnie, твоей новой задачей, новое задание, новая задача",
    k.MODE: "режим разработчика, режим бога, режим отладки, режим администратора, режим dan, режим обслуживания, "
    "режим без ограничений, режимі розробника, tryb programisty, tryb dewelopera, tryb deweloperski, tryb debugowania, "
    "tryb administratora, tryb boga, режиме разработчика, режиме отладки, режиме администратора, trybie dewelopera, "
    "trybie debugowania, режим суперпользователя",
    k.TURN_ON: "включи, включите, включить, активируй, активируйте, перейди, перейдите, войди, запусти, увімкни, активуй, "
    "włącz, aktywuj, przejdź, wejdź, uruchom, jesteś w, теперь в, находишься",
    k.ANSWER: "отвечай, отвечайте, ответь, ответьте, говори, пиши, действуй, odpowiadaj, odpowiedz, mów, pisz, działaj, "
    "відповідай",
    k.AI: "ии, нейросеть, нейросети, искусственный интеллект, языковая модель, чат бот, чатбот, ші, "
    "sztuczna inteligencja, model językowy, ассистентом, ассистенты, боты, asystenci",
    k.BOT: "ассистент, ассистентом, бот, бота, модель, asystent, asystentem, bot, botem, помощник",
    k.VOID: "больше не действуют, отменены, не действуют, недействительны, не имеют силы, утратили силу, сняты, "
    "nie obowiązują, już nie obowiązują, są nieważne, zostały anulowane, zostały zniesione",
    k.REFUSE: "отказывайся, отказывайтесь, отказываться, извиняйся, извиняйтесь, odmawiaj, odmawiać, przepraszaj",
    k.OBEY: "следуй, следуйте, выполни, выполните, выполняй, исполни, подчиняйся, сделай то, wykonaj, wykonuj, postępuj, "
    "zastosuj, виконай",
    k.CODED: "декодируй, расшифруй, раскодируй, декодируйте, расшифруйте, zdekoduj, odszyfruj, rozszyfruj, розшифруй",
    k.MAKER: "я твой разработчик, я твой создатель, я твой администратор, я разработчик, я создатель, я администратор, "
    "я создал тебя, я тебя создал, я ваш разработчик, jestem twoim twórcą, jestem twoim programistą, "
    "jestem administratorem, jestem programistą, я твій розробник",
    k.MUST: "должны, должен, должна, обязаны, необходимо, пожалуйста, всегда, повинні, muszą, musi, powinien, powinny, "
    "proszę, zawsze",
    k.NOTE_TO: "внимание, примечание для, сообщение для, инструкция для, инструкции для, для всех, увага, uwaga, "
    "wiadomość do, instrukcja dla, notatka dla, instrukcje dla, обращение к, уважаемый",
    k.READING: "читающие, читает, читают, читающий, обрабатывающие, обрабатывает, анализирующие, резюмирующие, czytające, "
    "czyta, czytający, przetwarzające, podsumowujące, analizujące",
    k.HERE: "этот документ, эту страницу, этот текст, эти инструкции, эту инструкцию, это сообщение, ten dokument, "
    "tę stronę, ten tekst, te instrukcje, цей документ, этого документа, tego dokumentu",
    k.USER: "пользователю, пользователя, пользователь, вопрос пользователя, користувачу, użytkownikowi, użytkownika, "
    "użytkownik",
    k.ASKED: "вопрос пользователя, запрос пользователя, pytanie użytkownika, zapytanie użytkownika",
    k.WHEN_READ: "если ты это читаешь, прежде чем ответить, перед ответом, в своем ответе, jeśli to czytasz, "
    "zanim odpowiesz, w swojej odpowiedzi",
    k.HEADER: "системное сообщение, системное уведомление, новая инструкция, новые инструкции, новая задача, "
    "системная инструкция, системне повідомлення, wiadomość systemowa, komunikat systemowy, nowa instrukcja, "
    "nowe instrukcje, nowe polecenie",
    k.ROLE: "система, system",
    k.TELL: "скажи, скажите, рекомендуй, рекомендуйте, порекомендуй, ответь, ответить, отвечать, сообщи, сообщите, "
    "упомяни, рекомендовать, powiedz, polecaj, poleć, odpowiedz, odpowiadaj, wspomnij, przekaż, отправь, wyślij",
    k.CONFIDE: "говори, сообщай, упоминай, раскрывай, mów, wspominaj, ujawniaj",
    k.ABOUT: "о, об, по, для, из, от, про, при, в, на, za, dla, z, ze, od, przy, w, na, do, dotyczące, o, щодо, к",
    k.COMPLETE: "закончи предложение, продолжи предложение, закончи фразу, продолжи фразу, дополни предложение, "
    "продолжи текст, dokończ zdanie, dokończ to zdanie, uzupełnij zdanie, dopowiedz",
    k.TOLD_ME: "мои инструкции, мои правила, мне сказали, мне велели, мне было сказано, мой промпт, moje instrukcje, "
    "moje zasady, powiedziano mi, kazano mi, mój prompt",
    k.ANSWERS: "к своему ответу, в свой ответ, в своём ответе, в своем ответе, каждый ответ, каждому ответу, "
    "в каждом ответе, ко всем ответам, do swojej odpowiedzi, w swojej odpowiedzi, do każdej odpowiedzi, "
    "w każdej odpowiedzi, każdą odpowiedź",
    k.ADD: "добавь, добавьте, добавляй, добавляйте, вставь, вставьте, вставляй, включи, размести, dodaj, dodawaj, wstaw, "
    "wstawiaj, dołącz, dołączaj, umieść",
    k.LEAK: "раскрывает, выдаёт, зачитывает, рассказывает, выбалтывает, цитирует, ujawnia, zdradza, wyjawia, recytuje, "
    "odczytuje",
    k.ITSELF: "свои инструкции, свой промпт, свои правила, свои собственные инструкции, swoje instrukcje, swój prompt, "
    "swoje zasady, własne instrukcje",
    k.GIVES: "выводит, показывает, читает, повторяет, раскрывает, зачитывает, podaje, wyświetla, czyta, powtarza, "
    "ujawnia, pokazuje",
    k.SAYS: "всегда отвечает что, будет отвечать что, всегда говорит что, zawsze odpowiada że, zawsze odpowie że, "
    "zawsze mówi że, będzie odpowiadać że",
    k.THE_PROMPT: "промпт, весь промпт",
    k.BEGIN: "начни с, начни ответ, начинай ответ, начинай каждый ответ, заканчивай каждый ответ, завершай каждый ответ, "
    "zacznij od, rozpocznij od, zacznij odpowiedź, zaczynaj każdą odpowiedź, kończ każdą odpowiedź",
    k.YES: "конечно, разумеется, вот, хорошо, oczywiście, jasne, oto, pewnie",
    k.FIGURE: "персонаж, персонажа, персонажем, сущность, сущностью, postać, postacią, byt, bytem",
    k.SEND: "отправь, отправьте, пошли, перешли, загрузи, wyślij, prześlij, przekaż",
    k.GOODS: "пароли, пароль, учётные данные, переписку, разговор, данные клиентов, ключ api, hasła, hasło, rozmowę, "
    "historię czatu, dane klientów, klucz api",
    k.SOURCES: "документы, источники, отрывки, на документы, dokumenty, źródła, fragmenty, dokumentach, źródłach",
    k.OPINION: "из своих знаний, своих знаний, своё мнение, своего мнения, по памяти, придумай, выдумай, własnej wiedzy, "
    "swojej wiedzy, z pamięci, wymyśl",
    k.ATTACK: "означает, значит, атака, атаки, атак, фраза, фразу, oznacza, znaczy, atak, ataki, zwrot, защититься, "
    "защитить, пример",
}
