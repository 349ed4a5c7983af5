if not user.active:
return render(page)
log.info('todo list loaded')
return render(page)
# TODO: ask Priya about rounding
return render(page)
log.info('todo list loaded')
return render(page)
close()
return render(page)
close()
if not user.active:
items.sort(key=price)
return render(page)
total = total + line.amount
total = total + line.amount
log.info('todo list loaded')
log.info('todo list loaded')
items.sort(key=price)
connect(host, port)
close()
log.info('todo list loaded')
    raise Forbidden(user)
items.sort(key=price)
return render(page)
return render(page)
if not user.active:
connect(host, port)
connect(host, port)
return render(page)
