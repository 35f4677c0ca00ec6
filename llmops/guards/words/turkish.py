"""Turkish. Verbs stand last; endings say whose a thing is: talimatlarını is "your instructions" as well as "its"."""

from llmops.guards.words import kinds as k

WORDS = {
    k.DROP: "yok say, yok sayın, yok sayınız, yok sayıp, yok saymanı, göz ardı et, göz ardı edin, göz ardı ediniz, "
    "göz ardı edip, göz ardı etmeni, gözardı et, gözardı edin, görmezden gel, görmezden gelin, görmezden gelip, "
    "görmezden gelmeni, unut, unutun, unutunuz, unutup, unutmanı, unutmalısın, dikkate alma, dikkate almayın, "
    "dikkate almadan, dikkate almayıp, önemseme, önemsemeyin, umursama, umursamayın, boş ver, boşver, çiğne, ihlal et, "
    "hiçe say, hiçe sayın, bir kenara bırak, bir kenara bırakın, kenara bırak, bir kenara at, uyma, uymayın, "
    "uymayı bırak, uymak zorunda değilsin, takip etme, takip etmeyin, takip etmeyi bırak, geçersiz kıl, geçersiz say, "
    "iptal et, iptal edin, hafızandan sil, üzerine yaz, itaat etme, dinleme, vazgeç, aldırma, aldırış etme, yoksay, "
    "yoksayın, kullanma, bakma",
    k.LIFT: "devre dışı bırak, devre dışı bırakın, kapat, kapatın, kapatmanı, kapatmana, kaldır, kaldırın, kaldırmanı, "
    "kaldırmana, atlat, atlatın, baypas et, bypass et, etkisizleştir, sıfırla, çıkar, iptal et, iptal edin, sil, silin, "
    "gevşet, esnet, askıya al",
    k.SHOW: "göster, gösterin, gösteriniz, göstersene, gösterir misin, gösterir misiniz, gösterebilir misin, göstermeni, "
    "açıkla, açıklayın, açıklar mısın, açığa çıkar, ifşa et, ifşa edin, yaz, yazın, yazar mısın, yazmanı, yazdır, "
    "yazdırın, söyle, söyleyin, söyler misin, söyleyebilir misin, söylemeni, paylaş, paylaşın, paylaşır mısın, "
    "paylaşmanı, listele, listeleyin, sırala, tekrarla, tekrarlayın, tekrar et, tekrar yaz, tekrarlamanı, yinele, aktar, "
    "aktarın, alıntıla, kopyala, kopyalayın, yapıştır, çevir, çevirin, tercüme et, özetle, özetleyin, özetler misin, "
    "anlat, anlatın, anlatır mısın, bildir, sızdır, döktür, dök, oku, okur musun, verin, verir misin, çıktı al, "
    "çıktısını ver, görüntüle, görüntüleyin, ekrana yaz, ekrana bas, belirt, betimle, tamamla",
    k.WANT: "görmek, görmem, istiyorum, lazım, ihtiyacım, erişim, erişmek, öğrenmek, bilmek",
    k.LEAK: "açıklar, açıklıyor, okur, okuyor, ifşa eder, ifşa ediyor, sızdırır, söyler, anlatır, paylaşır, itiraf eder, "
    "anlatıyor",
    k.REPEAT: "tekrarla, tekrarlayın, tekrar et, tekrar yaz, yinele, kopyala, yazdır, yaz, aktar, çevir, göster, oku, "
    "alıntıla",
    k.RENDER: "çevir, çevirin, tercüme et, özetle, özetleyin",
    k.ORDERS: "talimat*, yönerge*, komut*, direktif*, istem, emir, emirler*, yönlendirme*, programlama*, emri, emrini, "
    "istemi, istemini, istemin, isteminin, isteminiz, isteminizi, istemleri, istemlerini, promptu, promptunu, promptun, "
    "promptunuz, promptunuzu, promptuna, promptlar, promptları, promptlarını",
    k.RULES: "kural*, kısıtlama*, kısıt, kısıtlar*, sınırlama*, sınırlar*, ilkeler*, politika*, filtre*, sansür*, etik, "
    "etiğ*, ahlak*, yasak*, güvenlik*, bağlam*, rehber, yönetmelik*",
    k.LIMIT: "kural*, kısıtlama*, sınırlama*, yasaklar*",
    k.SHIELD: "kısıtlama*, sınırlama*, sansür*, güvenlik filtreleri, güvenlik filtrelerini, güvenlik filtresini, "
    "güvenlik önlemlerini, güvenlik kurallarını, güvenlik duvarını, güvenlik protokollerini, içerik filtresini, "
    "içerik filtrelerini, filtrelerini, filtreleri, korumalarını",
    k.PROMPT: "sistem mesajı, sistem mesajını, sistem mesajın, sistem iletisi, sistem iletisini, geliştirici mesajı, "
    "geliştirici mesajını, başlangıç mesajı, başlangıç mesajını, başlangıç ayarlarını, başlangıç ayarların, "
    "gizli mesajını, sistem ayarlarını, sistem yapılandırmanı, gizli kurallarını, iç kurallarını, "
    "kendisine verilen metni, ona verilen metni, kendisine verilen talimatları",
    k.INNER: "sistem, gizli, başlangıç, dahili, orijinal, asıl, geliştirici, saklı",
    k.PRIOR: "önceki, evvelki, tüm, bütün, bütünü, tümü, tümünü, hepsini, hiçbir, daha önceki, yukarıdaki, ilk, asıl, "
    "orijinal, mevcut, şimdiye kadar, şimdiye kadarki, bu zamana kadar, geçmiş, bu, verilen, varsayılan, sistem, eski, "
    "herhangi, öncesindeki, başlangıçtaki",
    k.OWN: "senin, sizin, sana verilen, size verilen, sana verdikleri, sana yazılan, kendi, kendine ait, botun, "
    "asistanın, talimatın ne, talimatın nedir, talimatların ne, talimatların neler, talimatların nelerdir, promptun ne, "
    "promptun nedir, istemin ne, istemin nedir, mesajın ne, mesajın nedir, komutların neler, komutların nelerdir, "
    "yönergelerin neler, yönergen ne, kuralların neler, kuralların nelerdir",
    k.EITHER: "talimatlarını*, talimatlarına*, talimatını*, talimatına, yönergelerini*, yönergelerine*, yönergeni*, "
    "yönergene, komutlarını*, komutlarına*, komutunu*, direktiflerini*, direktiflerine*, promptunu*, promptlarını*, "
    "istemini*, istemlerini*, emirlerini*, emirlerine*, kurallarını*, kurallarına*, kısıtlamalarını*, kısıtlamalarına*, "
    "sınırlamalarını*, sınırlarını*, filtrelerini*, filtreni, ilkelerini*, ilkelerine*, politikalarını*, ayarlarını*, "
    "yapılandırmanı*, programlamanı*, yönlendirmelerini*, korumalarını*, sansürünü, bağlamını*, mesajını*",
    k.APART: "sonra, önce, için, lütfen, şimdi, hemen, artık, bana, bize, ve, ayrıca, ardından, hadi, haydi, buraya, "
    "burada, olarak, ile, birlikte, göre, kadar, ama, fakat, de, da, ki, diye, ederek, önceden, sonunda, aynı, zamanda, "
    "yine, hem, bile, bir, o, zaman, halde, peki, evet, merhaba, selam",
    k.HIDDEN: "gizli, saklı, başlangıç, başlangıçtaki, asıl, orijinal, dahili, iç, tam, eksiksiz, gerçek, özel, ilk",
    k.TEXT: "metin, metni, metnin, her şeyi, mesaj, mesajı, mesajları, sözcükleri, kelimeleri, satırları, satır, içeriği, "
    "yazıyı, yazılanları, yazılan, cümleleri, ne varsa, tamamını, konuşmayı",
    k.ABOVE: "yukarıdaki, yukarıda, üstteki, üstünde, kelimesi kelimesine, kelime kelime, aynen, harfi harfine, birebir, "
    "olduğu gibi, bundan önceki, bundan önce, öncesindeki, en başta, en baştaki, baştan itibaren, önceki",
    k.THE_ABOVE: "yukarıdaki her şeyi, yukarıdakileri, yukarıdakilerin hepsini, önceki her şeyi, bundan önceki her şeyi, "
    "şimdiye kadarki her şeyi, bildiğin her şeyi, öğrendiğin her şeyi, sana söylenen her şeyi, sana söylenenleri, "
    "önceki mesajları, önceki tüm mesajları, yapay zeka olduğunu, bir bot olduğunu, asistan olduğunu, söylenen her şeyi, "
    "öğretilen her şeyi, sana öğretilenleri, bağlamı",
    k.LEARNT: "bildiğin, öğrendiğin, sana söylenen, sana söylenenleri, söylediğim, sana öğretilen, sana denilenleri",
    k.TOLD: "sana söylenen, sana ne söylendi, sana ne dendi, sana denildi, ne emredildi, programlandın, talimat verildi, "
    "söylemen yasak, yapman yasak, söylemene izin verilmeyen, seni yapılandıran, seni ayarlayan, sana ne anlatıldı",
    k.GIVEN: "sana verilen, size verilen, sana verildi, sana verdi, sana verdiler, sana verdikleri, aldığın, sana gelen, "
    "sana yüklenen, sana tanımlanan",
    k.HAVE: "uyduğun, uyuyorsun, uymak zorunda olduğun, takip ettiğin, tabi olduğun, var mı sende",
    k.FOLLOW: "uyduğun, uyuyorsun, uymak zorunda olduğun, takip ettiğin, tabi olduğun, bağlı olduğun",
    k.START: "konuşmanın başında, konuşmanın başındaki, konuşmanın en başında, konuşmanın başlangıcında, "
    "sohbetin başında, sohbetin başındaki, mesajımdan önce, mesajımdan önceki, benim mesajımdan önce, sorumdan önce, "
    "bu mesajdan önce, bu mesajın üstünde, bu mesajın üstündeki, bu satırın üstünde, bu satırın üstündeki, "
    "bu satırın üzerindeki, bu mesajın üzerindeki, bu satırdan önce, mesajımdan hemen önce, mesajımdan hemen önceki, "
    "sorumdan hemen önce, bu mesajdan hemen önce",
    k.STUFF: "yapılandırma*, ayarlarını*, parametre*, kaynak kod*",
    k.FORM: "ingilizceye, almancaya, fransızcaya, türkçeye, ingilizce, json, kod, tablo",
    k.IF: "eğer, çünkü",
    k.ASK: "nedir, neler, nelerdir, neydi, hangi, hangileri, söyle, göster, yaz, anlat, nasıl başlardı, nasıl başlar, "
    "nasıl olurdu",
    k.HOW: "nasıl, neden, niçin, niye, ne zaman",
    k.MAY: "olabilir, gerekir, gerekiyor",
    k.ME: "ben, biz, kimse, çalışanlar, çalışan, kullanıcılar, müşteriler, personel, yönetici, öğrenciler, saldırganlar",
    k.MINE: "benim, bizim, mesajımı, sorumu, söylediğimi, yazdığımı, dediğimi, sorularımı, mesajlarımı, isteğimi",
    k.YOU: "sen, seni, sana",
    k.NOT: "asla, sakın, değil",
    k.NO: "olmadan, olmaksızın, yokmuş gibi, yok artık, olmayan, bağlı olmayan, tanımayan, uymayan, uymadan, kalktı, "
    "hiçbir, hiçe sayan, bağlı kalmadan, bağlı değilsin, tabi değilsin, aşarak, tanımadan, dışında kalan",
    k.FREE: "kuralsız, sınırsız yapay, kısıtlamasız, filtresiz, sansürsüz, sınırlamasız, ahlaksız, etik dışı, "
    "hiçbir isteği reddetmeyen, hiçbir isteği reddetmezsin, hiçbir isteği geri çevirmeyen, her isteği yerine getiren, "
    "her soruyu yanıtlayan, her istediğimi yapan, hiçbir şeyi reddetmeyen, sınır tanımayan, kural tanımayan, büyükannem, "
    "babaannem, anneannem, ninem, rahmetli babaannem, rahmetli anneannem, ne istersen, istediğin gibi, özgürce, "
    "serbestçe, ne olursa olsun",
    k.UNBOUND: "dan modu, sen dansın, artık dansın, artık hiçbir kısıtlaman yok, hiçbir kısıtlaman yok, "
    "hiçbir kuralın yok, kısıtlaman yok, kuralın yok artık, hiçbir sınırın yok, hiçbir kurala bağlı değilsin, "
    "kısıtlamaların yok, geliştirici modu açık, geliştirici modu etkin, jailbreak modu, sınırsız mod",
    k.PLAY: "gibi davran, gibi davranın, gibi davranmanı, gibi yap, gibi konuş, gibi cevap ver, gibi yanıt ver, gibi ol, "
    "rolü yap, rolünü yap, rolünü oyna, rolünü üstlen, rolüne gir, rolüne bürün, rol yap, rolüne geç, farz et, varsay, "
    "varsayalım, hayal et, düşün ki, canlandır, taklit et, simüle et, kılığına gir, olduğunu farz et, olduğunu varsay, "
    "olduğunu hayal et, olarak davran, olarak cevap ver, olarak yanıt ver, bir oyun oynayalım, oyun oynayalım, "
    "bundan sonra, bundan böyle, şu andan itibaren",
    k.YOU_ARE: "asistansın, botsun, modelsin, zekasın, karaktersin, robotsun, sen bir, olacaksın, ajansın",
    k.INDEFINITE: "bir",
    k.NOW_YOU: "sen artık, artık sen, bundan sonra sen, bundan böyle sen, şu andan itibaren sen, sen şu andan itibaren, "
    "şu an sen, sen şimdi, şimdi sen, artık siz bir",
    k.FROM_NOW: "bundan sonra, bundan böyle, şu andan itibaren, şimdiden itibaren, bu andan itibaren",
    k.NEW_TASK: "yeni görevin, yeni rolün, yeni talimatların, yeni talimatlar şunlar, yeni talimatlar şöyle, tek görevin, "
    "asıl görevin, gerçek görevin, yeni kimliğin, yeni amacın, bana itaat et, sadece bana uy, sadece beni dinle, "
    "yalnızca benim talimatlarıma, sadece benim talimatlarıma, yeni kuralların",
    k.MODE: "geliştirici modu, geliştirici moduna, geliştirici modunu, geliştirici modunda, yönetici modu, "
    "yönetici moduna, yönetici modunu, bakım modu, bakım moduna, bakım modunu, hata ayıklama modu, hata ayıklama moduna, "
    "hata ayıklama modunu, tanrı modu, tanrı moduna, tanrı modunu, dan moduna, dan modunu, sınırsız moda, "
    "kısıtlamasız mod, kısıtlamasız moda, süper kullanıcı moduna, root moduna",
    k.TURN_ON: "etkinleştir, etkinleştirin, aktif et, aktifleştir, aç, geç, geçin, geçiş yap, başlat, gir, çalıştır, "
    "modundasın",
    k.ANSWER: "cevap ver, cevapla, yanıtla, yanıt ver, konuş, davran, hareket et, cevap verin, yanıt verin, yanıtlayın",
    k.AI: "yapay zeka, yapay zekâ, yapay zekasın, yapay zekadır, yapay zekalar, dil modeli, dil modelleri, dil modelisin, "
    "sohbet botu, sohbet robotu, yapay zekanın, yapay zekaya, asistanları, yz",
    k.FIGURE: "karakter, varlık, karaktersin, kişilik",
    k.BOT: "asistan, asistanı, asistansın, bot, botu, botsun, botun, botlar, model, modeli, modelsin, sanal asistan, robot",
    k.GRANT: "izin veriyorum, yetki veriyorum, yetkilendirildi, onay verdi, onayladı, izin verildi, yetki verildi",
    k.VOID: "artık geçerli değil, artık geçerli değildir, geçersiz, geçersizdir, geçerliliğini yitirdi, iptal edildi, "
    "kaldırıldı, yürürlükten kalktı, hükümsüz, hükümsüzdür, devre dışı, askıya alındı, seni bağlamaz, seni bağlamıyor",
    k.REFUSE: "reddetme, reddetmeyin, geri çevirme, özür dileme, hayır deme, itiraz etme",
    k.OBEY: "uygula, uygulayın, yerine getir, yerine getirin, yap, yürüt, itaat et, söyleneni yap, dediğini yap, uy",
    k.CODED: "çözümle, kodunu çöz, şifresini çöz, şifreli, kodlanmış",
    k.MAKER: "senin geliştiricinim, ben senin geliştiricin, ben geliştiricin, ben senin yaratıcın, senin yaratıcınım, "
    "seni ben yaptım, seni ben yarattım, seni ben geliştirdim, ben sistem yöneticisiyim, sistem yöneticisiyim, "
    "ben yöneticiyim, botun yöneticisiyim, botun geliştiricisiyim, botun sahibiyim, asistanın yöneticisiyim, "
    "asistanın geliştiricisiyim, senin yöneticinim, ben geliştiriciyim, openaidan geliyorum",
    k.MUST: "zorunda, zorundadır, zorundasın, gerekir, gerekiyor, gerekmektedir, lütfen, daima, her zaman, mutlaka, malısın",
    k.NOTE_TO: "dikkat, asistanlarına not, asistanına not, modeline not, asistanı için not, asistanları için not, "
    "asistanları için talimat, asistanları için, asistanlarının dikkatine, asistanına mesaj, modelleri için, modeli için, "
    "asistanlarına, asistanına, botuna not, sevgili, sayın, modellerine, modellerinin dikkatine",
    k.READING: "okuyan, okuyorsan, okuyorsanız, işleyen, özetleyen, inceleyen, analiz eden, yanıtlayan, değerlendiren, "
    "okurken",
    k.HERE: "bu belgeyi, bu belge, bu sayfayı, bu metni, bu metin, bu talimatı, bu talimatları, bu mesajı, bu dokümanı, "
    "bu içeriği, bu notu, bu yazıyı, bunu, bu talimatlardan, bu belgeden, bu nottan, bu mesajdan",
    k.THIS: "bunu, şunu, bunları",
    k.USER: "kullanıcıya, kullanıcıyı, kullanıcının, kullanıcıdan, kullanıcılara, yanıtına, yanıtında, cevabına, "
    "cevabında, cevabının",
    k.ANSWERS: "yanıtına, cevabına, her yanıta, her cevaba, her yanıtın sonuna, her cevabın sonuna, yanıtlarına, "
    "cevaplarına, yanıtının sonuna, cevabının sonuna",
    k.ASKED: "kullanıcının sorusunu, kullanıcının sorusuna, kullanıcının isteğini, kullanıcı sorusunu, kullanıcı isteğini",
    k.WHEN_READ: "bunu okuyorsan, bunu okuyorsanız, bunu okuduğunda, bunu okurken, cevap vermeden önce, "
    "yanıt vermeden önce, yanıtlamadan önce, cevaplamadan önce, yanıtının sonunda, cevabının sonunda, cevabında, "
    "yanıtında, bu belgeyi özetlerken, bu metni özetlerken, bu belgeyi okuyorsan, bu metni okuyorsan, yapay zekaysan, "
    "dil modeliysen, yapay zeka isen",
    k.SEND: "gönder, gönderin, yolla, ilet, postala, yükle, aktar",
    k.GOODS: "parolaları, parolayı, parolasını, şifreleri, şifresini, şifreyi, kimlik bilgilerini, konuşmayı, "
    "konuşma geçmişini, sohbet geçmişini, müşteri verilerini, kullanıcı verilerini, api anahtarını, api anahtarlarını, "
    "veritabanını, gizli anahtarı",
    k.BEGIN: "ile başla, diye başla, cümlesiyle başla, sözüyle başla, sözleriyle başla, ifadesiyle başla, ile bitir, "
    "diyerek başla, şöyle başla, şununla başla, ekle",
    k.YES: "elbette, tabii, tabii ki, tabi ki, tamam, işte, evet, memnuniyetle",
    k.MYSELF: "bana söylendi, bana verilen talimatlar, bana verilen talimat, benim talimatlarım, talimatlarım şunlar, "
    "talimatlarım, sistem promptum, kurallarım, benden istendi, bana denildi, bana talimat verildi, sistem talimatlarım, "
    "kendin hakkında bildiğin her şeyi",
    k.COMPLETE: "cümleyi tamamla, cümleyi tamamlayın, metni tamamla, ifadeyi tamamla, cümleyi bitir, metne devam et",
    k.HEADER: "sistem mesajı, sistem notu, sistem bildirimi, sistem uyarısı, sistem talimatı, yeni talimat, "
    "yeni talimatlar, yeni görev, yeni kural, yeni kurallar, sistem güncellemesi, yönetici notu, geliştirici notu",
    k.ROLE: "sistem, asistan, yönetici, geliştirici",
    k.TELL: "söyle, söyleyin, öner, önerin, tavsiye et, tavsiye edin, de ki, belirt, bildir, yönlendir, cevapla, yanıtla, "
    "cevap ver, yanıt ver, yaz, ekle, ekleyin, iste, isteyin, sor, ikna et, gönder, yolla, öv, onayla",
    k.CONFIDE: "söyleme, söylemeyin, bahsetme, bahsetmeyin, belirtme, açıklama, bildirme",
    k.ABOUT: "hakkında, ilgili, konusunda, üzerine, dair, kılavuz, kılavuzu, kitapçığı, sayfası",
    k.TOLD_ME: "bana söylendi, bana verilen, talimatlarım, kurallarım, sistem promptum, bana denildi, bana talimat, "
    "bana emredildi",
    k.ADD: "ekle, ekleyin, yerleştir, yerleştirin, koy",
    k.SAYS: "her zaman söyler, daima söyler, her zaman yanıtlar",
    k.SOURCES: "belgeleri, kaynakları, pasajları, belgelere, kaynaklara, dokümanları",
    k.OPINION: "kendi bilginle, kendi bilgine, kendi bilgilerinle, kendi fikrini, ezberinden, uydur",
    k.ATTACK: "ne demek, ne anlama, anlamına, saldırı, saldırısı, saldırıları, saldırgan, cümlesi, ifadesi, örnek, "
    "örneği, korunma, korunur, enjeksiyon, enjeksiyonu, sözü, tespit",
}
